"""The connection to libvirt: embedded driver, session, system; the event loop; errors in kab's words."""

import atexit
import logging
import os
import re
import secrets
import shlex
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import libvirt

from harness import interruption
from harness.errors import HostError, TransientHostError
from harness.guest.orphans import Orphans
from harness.guest.qemuhost import LocalHost, QemuHost
from harness.guest.remote import RemoteHost
from harness.guest.uri import EMBEDDED, parse_uri
from harness.host.leases import Lease
from harness.host.paths import Paths

_log = logging.getLogger(__name__)

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
# A daemon that says nothing for their product is gone: an unplugged cable tells nobody.
_KEEPALIVE_INTERVAL_S = 5
_KEEPALIVE_COUNT = 6


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
            "QEMU runs as the user of kab: may that user open it? Does something else confine QEMU (AppArmor, "
            "SELinux)? The default, --connect embed, asks no daemon."
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


class Connection:
    """A connection to libvirt. Close it: a thread runs while it is open."""

    def __init__(self, uri: str, *, paths: Paths, lease: Lease) -> None:
        """Connect to "embed", a daemon here, or one on another host. Raises ConfigError, HostError."""
        where = parse_uri(uri)
        self.uri = where.uri
        self._lease = lease
        self._root: Path | None = None
        self._orphans: Orphans | None = None
        # First: its errors say more than those of libvirt's ssh.
        self.host: QemuHost = (
            LocalHost(lease, private_dev=where.is_system)
            if where.ssh is None
            else RemoteHost(where.ssh, lease=lease, paths=paths)
        )
        target = where.libvirt_uri
        if self.is_embedded:
            self._root = _embedded_root.ensure(paths)
            lease.add_path(self._root)
            target = f"qemu:///embed?root={self._root}"
            self._orphans = Orphans()
        # Errors become exceptions; libvirt must not print them as well.
        libvirt.registerErrorHandler(_ignore, None)
        try:
            with interruption.shielded(), libvirt_errors(f"connect to libvirt at {target}"):
                _event_loop.acquire()
                self._libvirt: Any = libvirt.open(target)
                if where.ssh is not None:
                    self._libvirt.setKeepAlive(_KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT)
        except HostError as error:
            self._release()
            if not self.is_embedded and not error.remedy.startswith("QEMU runs as"):
                error.remedy = f"Does a daemon answer? virsh -c {shlex.quote(uri)} version. Or leave out --connect."
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
        with interruption.shielded(), libvirt_errors("ask libvirt for versions"):
            # Probes every QEMU, once per installation: it must not count as the first guest's boot.
            self._libvirt.getCapabilities()
            return {
                "libvirt": _dotted(self._libvirt.getLibVersion()),
                "qemu": _dotted(self._libvirt.getVersion()),
            }

    @cached_property
    def confinements(self) -> Mapping[str, str]:
        """What a daemon confines QEMU with (dac, apparmor, selinux), and its usual label; nothing when embedded."""
        if self.is_embedded:
            return {}
        with interruption.shielded(), libvirt_errors("ask libvirt for its security drivers"):
            capabilities = self._libvirt.getCapabilities()
        found = re.findall(r"<secmodel>\s*<model>(\w+)</model>(.*?)</secmodel>", capabilities, re.DOTALL)
        labels = {model: re.search(r"<baselabel[^>]*>([^<]*)<", rest) for model, rest in found if model != "none"}
        return {model: label[1] if label else "" for model, label in labels.items()}

    def watch(self, domain: Any, stopped: Callable[[int], None]) -> Callable[[], None]:
        """Call `stopped` with libvirt's detail (VIR_DOMAIN_EVENT_STOPPED_*) when the domain ends; returns the undo."""

        def told(_connection: Any, _domain: Any, event: int, detail: int, _opaque: Any) -> None:
            if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
                stopped(detail)

        kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        with interruption.shielded(), libvirt_errors("watch a domain"):
            number = self._libvirt.domainEventRegisterAny(domain, kind, told, None)

        def undo() -> None:
            with interruption.shielded(), libvirt_errors("stop watching a domain"):
                self._libvirt.domainEventDeregisterAny(number)

        return undo

    def close(self) -> None:
        """Close the connection. May be called twice."""
        if self._libvirt is None:
            return
        with interruption.shielded():
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
        self.host.close()

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
