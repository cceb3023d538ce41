"""Daemons of our own for tests, started by hand, with sockets, ports and keys of their own."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import OperationalError

# Where ci/setup.sh --tests unpacks what would start a service if it was installed.
UNPACKED = Path(__file__).parents[1] / "var" / "programs"
SSHD = shutil.which("sshd", path=f"/usr/sbin:/usr/local/sbin:{UNPACKED / 'usr/sbin'}")

no_system_daemon = (
    "needs libvirt's daemon"
    if shutil.which("libvirtd") is None
    else "a daemon of somebody else is running"
    if Path("/run/libvirt/libvirt-sock").exists()
    else "only root can start the system's daemon"
    if os.geteuid() != 0
    else ""
)
no_ssh_server = "" if SSHD else "needs sshd (openssh-server)"
# The newest, an installed one first.
POSTGRES = next(
    (
        found[-1]
        for root in (Path("/"), UNPACKED)
        if (found := sorted((root / "usr/lib/postgresql").glob("*/bin/postgres")))
    ),
    None,
)
no_postgres_server = "" if POSTGRES else "needs PostgreSQL (postgresql)"

# What nc -U does: libvirt asks for it on hosts whose daemon has a socket of its own.
_NETCAT = """#!{python}
import os, socket, sys, threading
connected = socket.socket(socket.AF_UNIX)
connected.connect(sys.argv[-1])
def send():
    while data := os.read(0, 65536):
        connected.sendall(data)
    connected.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while data := connected.recv(65536):
    os.write(1, data)
"""


@contextmanager
def _running(
    argv: Sequence[str | Path], log: Path, ready: Callable[[], bool], *, stop: int = signal.SIGTERM, **user: str
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as stream, subprocess.Popen(argv, stdout=stream, stderr=stream, cwd="/", **user) as daemon:
        try:
            deadline = time.monotonic() + 60
            while not ready():
                assert daemon.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield daemon
        finally:
            daemon.send_signal(stop)
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                raise


@contextmanager
def _locked(file: IO[str]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


@contextmanager
def system_daemon(folder: Path) -> Iterator[Path]:
    """libvirt's system daemon; yields its socket, open to everybody. Waits for that of another test to end."""
    (folder / "libvirtd.conf").write_text(f'unix_sock_dir = "{folder}"\nauth_unix_rw = "none"\n')
    connection = folder / "libvirt-sock"
    # It writes QEMU's log for the daemon, and does not end while that is there.
    logger = ["virtlogd", "--pid-file", folder / "logger.pid"]
    daemon = ["libvirtd", "--config", folder / "libvirtd.conf", "--pid-file", folder / "pid"]
    with (
        # A host has room for one: its state lies below /run/libvirt.
        (Path(tempfile.gettempdir()) / "kab-tests-system-daemon.lock").open("w") as lock,
        _locked(lock),
        _running(logger, folder / "virtlogd.log", (folder / "logger.pid").exists),
        _running(daemon, folder / "libvirtd.log", connection.exists),
    ):
        yield connection


@dataclass(frozen=True)
class SshServer:
    """An sshd on this host that stands for another one."""

    folder: Path
    port: int

    @property
    def base(self) -> Path:
        """What kab keeps there."""
        return self.folder / "cache/kab/remote"

    def uri(self, driver: str, **parameters: str | Path) -> str:
        words = {
            "keyfile": self.folder / "user_key",
            "known_hosts": self.folder / "known_hosts",
            "command": self.folder / "ssh",
            "netcat": self.folder / "nc",
            **parameters,
        }
        return f"qemu+ssh://127.0.0.1:{self.port}/{driver}?" + "&".join(f"{key}={word}" for key, word in words.items())


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """An sshd on a port of the loopback, with keys of its own, which lets this user in."""
    assert SSHD is not None
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user_key.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"Subsystem sftp internal-sftp\nSetEnv XDG_CACHE_HOME={folder}/cache\n"
    )
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
    # libvirt has no parameter for this one.
    _script(folder / "ssh", f'#!/bin/sh\nexec ssh -F none -o UserKnownHostsFile={folder}/known_hosts "$@"\n')
    _script(folder / "nc", _NETCAT.format(python=sys.executable))
    if os.geteuid() == 0:
        # sshd's own, which its package's service makes.
        Path("/run/sshd").mkdir(exist_ok=True)
    with _running([SSHD, "-D", "-e", "-f", folder / "sshd_config"], folder / "sshd.log", lambda: _answers(port)):
        yield SshServer(folder=folder, port=port)


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


class PostgresServer:
    """A PostgreSQL server that can be stopped and started again."""

    def __init__(self, folder: Path, user: dict[str, str]) -> None:
        assert POSTGRES is not None
        self._programs = POSTGRES.parent
        if POSTGRES.is_relative_to(UNPACKED):
            # Whoever it is may not enter the folder of this tree, either. It finds its own files beside itself.
            shutil.copytree(UNPACKED / "usr", folder / "usr", symlinks=True, dirs_exist_ok=True)
            self._programs = folder / POSTGRES.parent.relative_to(UNPACKED)
        self._folder = folder
        self._user = user
        self._running: AbstractContextManager[subprocess.Popen[bytes]] | None = None
        # With ``{}`` where the name of a database goes.
        self.url = f"postgresql+psycopg://kab@/{{}}?host={folder}"
        self.pid = 0

    def make(self, password: str | None) -> None:
        """Its files; with a password for everybody who connects, or with none."""
        way: list[str | Path] = ["-A", "trust"]
        if password is not None:
            (self._folder / "password").write_text(password)
            way = ["-A", "scram-sha-256", "--pwfile", self._folder / "password"]
        subprocess.run(
            [self._programs / "initdb", "-D", self._folder / "data", "-U", "kab", *way, "-E", "UTF8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **self._user,
        )  # fmt: skip

    def start(self) -> None:
        """Returns when it answers."""
        # Nothing is compiled: LLVM is not unpacked with it.
        settings = ("listen_addresses=", "fsync=off", "jit=off")
        self._running = _running(
            [
                self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder,
                *(word for setting in settings for word in ("-c", setting)),
            ],
            self._folder / "server.log",
            lambda: _serves(self.url.format("postgres")),
            # Sends its clients away at once, instead of waiting for them to go.
            stop=signal.SIGINT,
            **self._user,
        )  # fmt: skip
        self.pid = self._running.__enter__().pid

    def stop(self) -> None:
        """In order; its clients are sent away."""
        if self._running is not None:
            running, self._running = self._running, None
            running.__exit__(None, None, None)

    def freeze(self, number: int = signal.SIGSTOP) -> None:
        """It and all that serve its clients stand still, and close nothing; with SIGCONT they go on."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            os.kill(pid, number)


@contextmanager
def postgres(password: str | None = None) -> Iterator[PostgresServer]:
    """A PostgreSQL server of our own on a socket.

    A new database is made with ``CREATE DATABASE`` on ``postgres``. It refuses to run as root, who lends it to nobody:
    in a folder of its own, because those of pytest let no other user in.
    """
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    # A name short enough for sockets below it.
    folder = Path(tempfile.mkdtemp(prefix="kab-pg-", dir="/tmp"))
    try:
        if user:
            shutil.chown(folder, "nobody", "nogroup")
        server = PostgresServer(folder, user)
        server.make(password)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def postgres_server(password: str | None = None) -> Iterator[str]:
    """One that is there all the time: its URL, with ``{}`` where the name of a database goes."""
    with postgres(password) as server:
        yield server.url


def _serves(url: str) -> bool:
    """Whether it lets us in, or says why not."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        engine.connect().close()
    except OperationalError as error:
        return "password" in str(error)
    finally:
        engine.dispose()
    return True
