"""Another host that QEMU runs on, reached over SSH: files go there by SFTP, guests answer through the connection.

A process there (the keeper) holds this connection's folder, and removes it when the connection ends, however it ends.
"""

import hashlib
import logging
import secrets
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import paramiko

from harness.errors import HostError
from harness.guest.qemuhost import Access
from harness.guest.remotedisks import RemoteDisks
from harness.guest.ssh import CommandTimeoutError, Session, SshError
from harness.guest.sshclient import log_in
from harness.guest.uri import SshAddress
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.interfaces import Disks
from harness.model.arch import ARCHITECTURES, Architecture
from harness.model.guest import CommandResult
from harness.parse.sections import parse_files, parse_sections

_log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
# Reading back 300 MiB from a slow disk.
_VERIFY_TIMEOUT_S = 300.0
_CHUNK_BYTES = 1024 * 1024
# Programs for administration are not in everybody's PATH.
_PATH = "PATH=$PATH:/usr/sbin:/sbin"

# $1: the connection's token. Shared files lie in files/ by digest, a connection's own in runs/TOKEN; who is alive holds
# the lock runs/TOKEN.lock, and who comes or sweeps holds runs/lock meanwhile. The end of standard input is the end of
# the connection: sshd closes it when kab closes it, when kab is killed, and when the network is gone for long.
_KEEPER = """
set -eu
umask 077
base=${XDG_CACHE_HOME:-$HOME/.cache}/kab/remote
mkdir -p "$base/files" "$base/runs"
cd "$base/runs"
exec 9>lock
flock 9
for held in *.lock; do
  if [ -e "$held" ] && flock -n "$held" true; then
    rm -rf "${held%.lock}" "$held"
    echo "removed ${held%.lock}"
  fi
done
find ../files -type f -mtime +30 -delete
exec 8>"$1.lock"
flock 8
mkdir "$1"
exec 9>&-
echo "ready $base"
cat >/dev/null
rm -rf "$1" "$1.lock"
"""

# $1...: QEMU's programs.
_LOOK = """
echo "@@kab user"; echo "+$(id -u)"
echo "@@kab machine"; uname -m
echo "@@kab emulators"; for program; do command -v "$program"; done
echo "@@kab kvm"
if [ ! -e /dev/kvm ]; then echo missing
elif [ -r /dev/kvm ] && [ -w /dev/kvm ]; then echo open
else echo forbidden; fi
echo "@@kab files"
cd /sys/devices/system
grep -asH "" /proc/cpuinfo /proc/meminfo /proc/loadavg /proc/sys/kernel/osrelease /proc/sys/kernel/random/boot_id \
  /etc/os-release "$PWD"/cpu/cpu*/cpufreq/scaling_governor "$PWD"/cpu/intel_pstate/no_turbo "$PWD"/cpu/cpufreq/boost \
  "$PWD"/cpu/smt/active "$PWD"/clocksource/clocksource0/current_clocksource
true
"""

# $1: name of a guest.
_STOPPED = """
for process in /proc/[0-9]*; do
  if grep -qasF "guest=$1," "$process/cmdline" && grep -qs "^State:[[:space:]]*[Tt]" "$process/status"; then
    echo stopped
    break
  fi
done
"""


class RemoteHost:
    """Implements QemuHost on another host."""

    def __init__(self, address: SshAddress, *, lease: Lease, paths: Paths) -> None:
        """Log in, and make a folder there. Raises ConfigError, HostError."""
        self.name = address.host
        self._token = secrets.token_hex(4)
        self._shared: dict[Path, Path] = {}
        with ExitStack() as stack:
            client = log_in(address)
            stack.callback(client.close)
            transport = client.get_transport()
            assert transport is not None
            self._transport = transport
            self._session = Session(self._transport)
            self._keeper, base = self._start_keeper()
            stack.callback(self._dismiss)
            self._files = base / "files"
            self.folder = base / "runs" / self._token
            with self._errors("start its SFTP server"):
                self._sftp = client.open_sftp()
            self._facts = parse_sections(
                self.command(_LOOK, *(architecture.emulator for architecture in ARCHITECTURES)).stdout
            )
            # A copy of the other host's /proc and /sys, as far as anybody looks.
            self.root = stack.enter_context(lease.folder(paths.scratch / f"host-{self._token}"))
            self._pose()
            self._stack = stack.pop_all()

    def _start_keeper(self) -> tuple[paramiko.Channel, Path]:
        with self._errors("start a shell"):
            keeper = self._transport.open_session(timeout=_TIMEOUT_S)
            keeper.settimeout(_TIMEOUT_S)
            keeper.set_combine_stderr(True)
            keeper.exec_command(_shell(_KEEPER, self._token))
            said = []
            for line in keeper.makefile("r"):
                word, _, rest = line.strip().partition(" ")
                if word == "ready":
                    return keeper, Path(rest)
                if word == "removed":
                    _log.info("%s: removed what a dead connection left: %s", self.name, rest)
                said.append(line.strip())
        raise HostError(
            f"cannot make a folder on {self.name}: {' '.join(said)}",
            remedy="kab needs a POSIX shell and flock (package util-linux) there, and a home with some room.",
        )

    def _pose(self) -> None:
        for name, content in parse_files(self._facts.get("files", "")).items():
            path = self.root / name.lstrip("/")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            except OSError as error:
                raise HostError(f"cannot write {path}: {error}") from error

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (paramiko.SSHException, SshError, CommandTimeoutError, EOFError, OSError) as error:
            said = str(error) or type(error).__name__
            raise HostError(
                f"{self.name}: cannot {doing}: {said}", remedy="Is its disk full, or its network down?"
            ) from error

    def command(self, script: str, *arguments: str | Path, timeout_s: float = _TIMEOUT_S) -> CommandResult:
        """Run a shell script there. Raises HostError when it fails."""
        with self._errors("run a command"):
            done = self._session.run(
                _shell(f"{_PATH}\n{script}", *arguments), timeout_s=timeout_s, output=lambda _: None, look=lambda: None
            )
        if done.status != 0:
            raise HostError(f"{self.name}: `{script.strip()}` failed with status {done.status}: {done.stderr.strip()}")
        return done

    def begin(self, script: str, *arguments: str | Path) -> paramiko.Channel:
        """Start a shell script there that ends with its standard input, that is with the connection at the latest."""
        with self._errors("start a command"):
            channel = self._transport.open_session(timeout=_TIMEOUT_S)
            channel.set_combine_stderr(True)
            channel.exec_command(_shell(f"{_PATH}\n{script}", *arguments))
            return channel

    @property
    def user(self) -> str:
        """Whom kab is there."""
        return self._facts["user"].strip()

    def machine(self) -> str:
        """As uname -m says there."""
        return self._facts.get("machine", "").strip()

    def emulator(self, architecture: Architecture) -> Path:
        """QEMU for guests of an architecture. Raises HostError when it is not installed."""
        for found in map(Path, self._facts.get("emulators", "").split()):
            if found.name == architecture.emulator:
                return found
        raise HostError(
            f"{self.name}: {architecture.emulator} is not installed",
            remedy=f"There: apt-get install {architecture.emulator_package}",
        )

    def says_of_itself(self, program: Path) -> str:
        """What `program --version` prints there. Raises HostError."""
        return self.command('"$1" --version', program).stdout

    def kvm(self) -> Access:
        """Whether the user may open /dev/kvm there."""
        return Access(self._facts["kvm"].strip())

    def share(self, path: Path) -> Path:
        """The copy of a file there, named by its content; sent when there is none. Raises HostError."""
        if path not in self._shared:
            digest = _digest(path)
            target = self._files / digest
            if not self._touch(target):
                _log.info("sending %s to %s", path, self.name)
                arriving = self.folder / f"{digest}.part"
                self._send(path, arriving)
                check = 'echo "$1  $2" | sha256sum --check --quiet && sync "$2" && mv "$2" "$3"'
                self.command(check, digest, arriving, target, timeout_s=_VERIFY_TIMEOUT_S)
            self._shared[path] = target
        return self._shared[path]

    def _touch(self, target: Path) -> bool:
        """Note that a file is in use: old ones are removed. False when it is not there."""
        with self._errors(f"look at {target}"):
            try:
                self._sftp.utime(str(target), None)
            except FileNotFoundError:
                return False
        return True

    @contextmanager
    def lend(self, path: Path) -> Iterator[Path]:
        """A copy of a file there for the length of the context. Raises HostError."""
        target = self.folder / f"{secrets.token_hex(4)}-{path.name}"
        try:
            self._send(path, target)
            yield target
        finally:
            self.remove(target)

    def _send(self, path: Path, target: Path) -> None:
        with self._errors(f"write {target}"), path.open("rb") as source, self._sftp.open(str(target), "wb") as copy:
            copy.set_pipelined(True)
            size_bytes = path.stat().st_size
            while chunk := source.read(_CHUNK_BYTES):
                # An image is full of holes: they need not travel.
                if any(chunk):
                    copy.seek(source.tell() - len(chunk))
                    copy.write(chunk)
            copy.set_pipelined(False)
            copy.truncate(size_bytes)

    def remove(self, target: Path) -> None:
        """Remove a file there. What cannot be removed goes with the connection."""
        with suppress(paramiko.SSHException, EOFError, OSError):
            self._sftp.remove(str(target))

    def takes_direct_io(self, path: Path) -> bool:
        """Whether a file can be read with O_DIRECT there. Raises HostError."""
        read = 'dd if="$1" of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null && echo yes || echo no'
        return self.command(read, path).stdout.strip() == "yes"

    def is_stopped(self, name: str) -> bool:
        """Whether the QEMU of the guest `name` is stopped there; False where the host does not say."""
        try:
            return self.command(_STOPPED, name).stdout.strip() == "stopped"
        except HostError as error:
            _log.debug("is %s stopped: %s", name, error)
            return False

    def disks(self, *, destroy_data: str) -> Disks:  # noqa: ARG002 - as QemuHost has it
        """Test disks there; none of its block devices, so there is nothing to consent to."""
        return RemoteDisks(self)

    def dial(self, port: int, *, timeout_s: float) -> paramiko.Channel:
        """A channel to a port of its 127.0.0.1. Raises SshError (nobody answers), HostError."""
        try:
            return self._transport.open_channel(
                "direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0), timeout=timeout_s
            )
        except paramiko.ChannelException as error:
            if error.code == 1:
                raise HostError(
                    f"{self.name}: sshd forwards no connections: {error}",
                    remedy="Its sshd_config must allow it (AllowTcpForwarding), and authorized_keys not forbid it.",
                ) from error
            raise SshError(str(error)) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise HostError(f"{self.name}: the connection was cut: {error}") from error

    def _dismiss(self) -> None:
        """Have the keeper remove this connection's folder, and wait for that."""
        with suppress(paramiko.SSHException, EOFError, OSError):
            self._keeper.shutdown_write()
            while self._keeper.recv(1024):
                pass

    def close(self) -> None:
        """Have this connection's folder removed, and log out."""
        self._stack.close()


def _shell(script: str, *arguments: str | Path) -> str:
    """A command line that runs `script` with a POSIX shell, whatever the user's own is."""
    return shlex.join(["exec", "sh", "-c", script, "kab", *map(str, arguments)])


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HostError(f"cannot read {path}: {error}") from error
