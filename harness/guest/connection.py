"""The connection to libvirt: embedded driver, session, system; the event loop; errors in kab's words."""

import atexit
import logging
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import libvirt

from harness.errors import ConfigError, HostError, TransientHostError
from harness.guest.orphans import Orphans
from harness.host.leases import Lease
from harness.host.paths import Paths

_log = logging.getLogger(__name__)

EMBEDDED = "embed"
# sun_path holds 107 bytes; below the root libvirt needs "/lib/qemu/domain-<id>-<20 characters>/monitor.sock".
_ROOT_LIMIT = 107 - len("/lib/qemu/domain-99999-12345678901234567890/monitor.sock")
# Folders and files are ours and private, so nothing needs confining, and no daemon (virtlogd) need be started.
_QEMU_CONF = """\
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
# As root, QEMU runs as root too, and nobody changes owners of files.
_QEMU_CONF_ROOT = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
"""
_SUPPORTED = "Supported are embed (the default), qemu:///session and qemu:///system."


@contextmanager
def libvirt_errors(doing: str) -> Iterator[None]:
    """Turn libvirt's errors into HostError: "cannot {doing}: what libvirt said"."""
    try:
        yield
    except libvirt.libvirtError as error:
        busy = error.get_error_code() in {libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_RESOURCE_BUSY}
        kind = TransientHostError if busy else HostError
        raise kind(f"cannot {doing}: {_said(error)}", remedy=_remedy(str(error))) from error


def _said(error: "libvirt.libvirtError") -> str:
    return (error.get_error_message() or str(error)).strip()


def _remedy(message: str) -> str:
    if "Permission denied" in message:
        return (
            "With qemu:///system, QEMU's own user (libvirt-qemu) must be able to read kernel, image and disks: keep "
            "them in folders that others may enter (KAB_CACHE_DIR, KAB_STATE_DIR), or use the default, --connect embed."
        )
    if "libvirt-qemu" in message or "qemu.conf" in message:
        return "As root, libvirt needs its user libvirt-qemu: apt-get install libvirt-daemon-system"
    if "Cannot find suitable emulator" in message or "no emulator" in message:
        return "Is QEMU installed? apt-get install qemu-system-x86"
    return "See `kab doctor`."


class _EventLoop:
    """libvirt's event loop in a thread, running while anybody needs it.

    libvirt allows one per process and for good, so this is the one thing here that a process has one of.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._timer = -1

    def acquire(self) -> None:
        """Start the loop with its first user."""
        with self._mutex:
            self._users += 1
            if self._users > 1:
                return
            if self._timer < 0:
                libvirt.virEventRegisterDefaultImpl()
                # Off until release() needs to wake the loop up.
                self._timer = libvirt.virEventAddTimeout(-1, self._wake, None)
            self._thread = threading.Thread(target=self._run, name="libvirt-events", daemon=True)
            self._thread.start()

    def release(self) -> None:
        """End the loop with its last user."""
        with self._mutex:
            self._users -= 1
            if self._users or self._thread is None:
                return
            libvirt.virEventUpdateTimeout(self._timer, 0)
            self._thread.join()
            self._thread = None

    def _wake(self, timer: int, _opaque: object) -> None:
        libvirt.virEventUpdateTimeout(timer, -1)

    def _run(self) -> None:
        while self._users:
            libvirt.virEventRunDefaultImpl()


class _EmbeddedRoot:
    """Root folder of the embedded driver: libvirt keeps the first one of a process until that ends, and locks it."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def ensure(self, paths: Paths) -> Path:
        """The root, made when there is none yet."""
        if self._path is None:
            self._path = _make_root(paths)
            atexit.register(shutil.rmtree, self._path, ignore_errors=True)
        return self._path


_event_loop = _EventLoop()
_embedded_root = _EmbeddedRoot()


def _private_folder(path: Path) -> Path:
    """Make `path` ours alone. Raises HostError when somebody else made it first, as anybody can in /tmp."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise HostError(f"cannot make {path}: {error}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise HostError(
            f"{path} is not a private folder of this user", remedy=f"Remove it, or set XDG_RUNTIME_DIR: rm -r {path}"
        )
    return path


def _make_root(paths: Paths) -> Path:
    name = secrets.token_hex(4)
    candidates = [paths.libvirt]
    if os.environ.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(os.environ["XDG_RUNTIME_DIR"]) / "kab")
    # The place of last resort for a short name; _private_folder sees to it that it is ours.
    candidates.append(Path(f"/tmp/kab-{os.geteuid()}"))  # noqa: S108
    parent = next(path for path in candidates if len(os.fsencode(path / name)) <= _ROOT_LIMIT)
    root = _private_folder(parent) / name
    # What libvirt learns about QEMU (seconds of probing) is shared and kept; it is written atomically.
    capabilities = paths.cache / "libvirt"
    try:
        capabilities.mkdir(parents=True, exist_ok=True)
        (root / "etc").mkdir(parents=True, mode=0o700)
        (root / "cache").symlink_to(capabilities)
        settings = _QEMU_CONF + (_QEMU_CONF_ROOT if os.geteuid() == 0 else "")
        (root / "etc" / "qemu.conf").write_text(settings)
    except OSError as error:
        raise HostError(f"cannot make {root}: {error}") from error
    return root


def check_uri(uri: str) -> str:
    """`uri` as libvirt wants it, "embed" for the embedded driver. Raises ConfigError for what kab cannot use."""
    if uri in {"", EMBEDDED, "qemu:///embed"}:
        return EMBEDDED
    parts = urlsplit(uri)
    if parts.scheme.partition("+")[0] != "qemu":
        raise ConfigError(f"kab drives QEMU only, not {uri!r}", remedy=_SUPPORTED)
    if parts.path not in {"/session", "/system"}:
        raise ConfigError(f"no such QEMU driver: {uri!r}", remedy=_SUPPORTED)
    if parts.hostname:
        raise ConfigError(
            f"{uri} is another host: kernel, image and disks of kab are files of this one",
            remedy=f"Run kab there: ssh {parts.hostname} kab ... {_SUPPORTED}",
        )
    return uri


class Connection:
    """A connection to libvirt. Close it: a thread runs while it is open."""

    def __init__(self, uri: str, *, paths: Paths, lease: Lease) -> None:
        """Connect to "embed", "qemu:///session" or "qemu:///system". Raises ConfigError, HostError."""
        self.uri = check_uri(uri)
        self._lease = lease
        self._root: Path | None = None
        self._orphans: Orphans | None = None
        target = self.uri
        if self.is_embedded:
            self._root = _embedded_root.ensure(paths)
            lease.add_path(self._root)
            target = f"qemu:///embed?root={self._root}"
            self._orphans = Orphans()
        # Errors become exceptions; libvirt must not print them as well.
        libvirt.registerErrorHandler(_ignore, None)
        _event_loop.acquire()
        try:
            with libvirt_errors(f"connect to libvirt at {target}"):
                self._libvirt: Any = libvirt.open(target)
        except HostError as error:
            self._release()
            if not self.is_embedded and not error.remedy.startswith("With"):
                error.remedy = f"Does a daemon answer? virsh -c {uri} version. Or leave out --connect."
            raise

    @property
    def is_embedded(self) -> bool:
        """Whether the driver runs inside this process."""
        return self.uri == EMBEDDED

    @property
    def libvirt(self) -> Any:
        """libvirt's own object."""
        return self._libvirt

    def versions(self) -> dict[str, str]:
        """Versions of libvirt and of the QEMU that it runs by default."""
        with libvirt_errors("ask libvirt for versions"):
            # Probes every QEMU, once per installation: it must not count as the first guest's boot.
            self._libvirt.getCapabilities()
            return {
                "libvirt": _dotted(self._libvirt.getLibVersion()),
                "qemu": _dotted(self._libvirt.getVersion()),
            }

    def watch(self, domain: Any, stopped: Callable[[int], None]) -> Callable[[], None]:
        """Call `stopped` with libvirt's detail (VIR_DOMAIN_EVENT_STOPPED_*) when the domain ends; returns the undo."""

        def told(_connection: Any, _domain: Any, event: int, detail: int, _opaque: Any) -> None:
            if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
                stopped(detail)

        kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        with libvirt_errors("watch a domain"):
            number = self._libvirt.domainEventRegisterAny(domain, kind, told, None)

        def undo() -> None:
            with libvirt_errors("stop watching a domain"):
                self._libvirt.domainEventDeregisterAny(number)

        return undo

    def close(self) -> None:
        """Close the connection. May be called twice."""
        if self._libvirt is None:
            return
        try:
            with libvirt_errors("close the connection to libvirt"):
                self._libvirt.close()
        finally:
            self._libvirt = None
            self._release()

    def _release(self) -> None:
        _event_loop.release()
        if self._orphans is not None:
            self._orphans.close()
        if self._root is not None:
            # It goes with the process (atexit): libvirt cannot be given another one before.
            self._lease.release(self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


def _ignore(_context: object, error: object) -> None:
    _log.debug("libvirt: %s", error)
