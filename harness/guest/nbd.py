"""A test disk with latency: nbdkit's memory behind its delay filter, exported on a UNIX socket."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import ConfigError, GuestLostError, HostError
from harness.host import process
from harness.host.leases import Lease
from harness.model.guest import MIB

log = logging.getLogger(__name__)

# The delay filter sleeps in the thread that serves a request: fewer threads than requests in flight would queue
# them behind one another. QEMU's client keeps at most 16 in flight (MAX_NBD_REQUESTS in block/nbd.c).
_THREADS = 64
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0
# A dying process closes its sockets before its parent can know of its end: a guest may see the disk fail first.
_DYING_S = 0.5
# sun_path of unix(7), less its closing NUL.
_SOCKET_PATH_LIMIT = 107


@contextmanager
def serve_memory(*, size_bytes: int, latency_s: float, folder: Path, lease: Lease) -> Iterator[Path]:
    """Serve `size_bytes` of memory, each read and write `latency_s` later; yields the UNIX socket's path.

    Raises ConfigError (a latency that nbdkit cannot add), HostError (no nbdkit, no memory), and at the end
    GuestLostError when nbdkit did not live until then: what the guest saw was the host's failure.
    """
    path = folder / "nbd.sock"
    argv = nbdkit_argv(path, size_bytes=size_bytes, latency_s=latency_s)
    _check_room(path, size_bytes)
    log_path = folder / "nbdkit.log"
    with lease.mark(str(path)):
        with log_path.open("wb") as log_file:
            # A session of its own: Ctrl-C must end the guest before its disk.
            server = process.spawn(argv, stdout=log_file, stderr=log_file, new_session=True)
        served = failed = False
        try:
            _wait_until_serving(server, path, log_path)
            served = True
            yield path
        except BaseException:
            failed = True
            raise
        finally:
            died = _ended(server, patience_s=_DYING_S if failed else 0.0)
            if not process.stop(server, timeout_s=_STOP_TIMEOUT_S):
                log.warning("nbdkit (pid %d) did not stop; it was killed", server.pid)
            path.unlink(missing_ok=True)
            if served and died is not None:
                # In place of whatever the guest made of it, which stays attached as the context.
                raise GuestLostError(f"nbdkit, which served the test disk, ended with status {died}{_said(log_path)}")


def nbdkit_argv(path: Path, *, size_bytes: int, latency_s: float) -> tuple[str, ...]:
    """nbdkit's command line. Raises ConfigError when the latency is no whole number of milliseconds."""
    latency_ms = round(latency_s * 1000)
    # nbdkit's delay filter knows seconds and milliseconds only (before 1.38).
    if abs(latency_s * 1000 - latency_ms) > 1e-6:
        raise ConfigError(
            f"a disk with backend=nbd cannot have a latency of {latency_s * 1e6:g} us",
            remedy="Use whole milliseconds, or the bus null-blk.",
        )
    common = ("nbdkit", "--foreground", "--unix", str(path), "--threads", str(_THREADS))
    memory = ("memory", f"size={size_bytes}")
    if not latency_ms:
        return (*common, *memory)
    return (*common, "--filter=delay", *memory, f"rdelay={latency_ms}ms", f"wdelay={latency_ms}ms")


def _check_room(path: Path, size_bytes: int) -> None:
    if len(str(path).encode()) > _SOCKET_PATH_LIMIT:
        raise HostError(
            f"the path of a UNIX socket has at most {_SOCKET_PATH_LIMIT} bytes: {path}",
            remedy="Set KAB_STATE_DIR to a shorter path.",
        )
    available = _available_memory_bytes()
    if available is not None and available < size_bytes:
        raise HostError(
            f"too little memory for a test disk of {size_bytes // MIB} MiB: {available // MIB} MiB are available",
            remedy="Choose a smaller size= for the disk, or backend=file.",
        )


def _available_memory_bytes() -> int | None:
    """MemAvailable; None where the host does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _wait_until_serving(server: process.Process, path: Path, log_path: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise HostError(f"nbdkit did not start{_said(log_path)}")
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.01)
            else:
                return
    raise HostError(f"nbdkit did not serve {path} within {_START_TIMEOUT_S:g} s{_said(log_path)}")


def _ended(server: process.Process, *, patience_s: float) -> int | None:
    """Its exit status, or None while it lives."""
    deadline = time.monotonic() + patience_s
    while (status := server.poll()) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return status


def _said(log_path: Path) -> str:
    """The end of what nbdkit said, for the end of a message."""
    said = log_path.read_text(errors="replace").strip()
    return f": {said[-1000:]}" if said else ""
