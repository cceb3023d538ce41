"""Connection URIs: what the user asks for, checked and taken apart."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from harness.errors import ConfigError

EMBEDDED = "embed"
SUPPORTED = (
    "Supported are embed (the default), qemu:///session, qemu:///system, and both on another host: "
    "qemu+ssh://[USER@]HOST[:PORT]/system."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAddress:
    """Another host, as the URI names it; ~/.ssh/config may say more."""

    host: str
    user: str = ""
    port: int | None = None
    # URI parameters keyfile= and known_hosts=, of the same meaning as libvirt's.
    keyfile: str = ""
    known_hosts: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where guests are to run."""

    # As the user gave it; "embed" for the driver inside this process.
    uri: str
    # None: this host.
    ssh: SshAddress | None = None

    @property
    def is_system(self) -> bool:
        """Whether the daemon is the system's, which gives QEMU a /dev of its own."""
        return urlsplit(self.uri).path == "/system"

    @property
    def libvirt_uri(self) -> str:
        """The URI for libvirt, whose ssh must never ask anything of somebody who watches a progress bar."""
        if self.ssh is None or "no_tty=" in self.uri:
            return self.uri
        return f"{self.uri}{'&' if '?' in self.uri else '?'}no_tty=1"


def parse_uri(uri: str) -> Target:
    """Take a connection URI apart. Raises ConfigError for what kab cannot use."""
    if uri in {"", EMBEDDED, "qemu:///embed"}:
        return Target(uri=EMBEDDED)
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"malformed URI: {uri!r} ({error})", remedy=SUPPORTED) from error
    driver, _, transport = parts.scheme.partition("+")
    if driver != "qemu":
        raise ConfigError(f"kab drives QEMU only, not {uri!r}", remedy=SUPPORTED)
    if parts.path not in {"/session", "/system"}:
        raise ConfigError(f"no such QEMU driver: {uri!r}", remedy=SUPPORTED)
    if host is None and transport in {"", "unix"}:
        return Target(uri=uri)
    if host is None or transport != "ssh":
        raise ConfigError(
            f"{uri!r} does not say how kernels, image and disks get to the host of the guests",
            remedy=f"Another host is reached over SSH: qemu+ssh://{host or 'HOST'}{parts.path}",
        )
    if parts.password is not None:
        raise ConfigError(
            f"a password in the URI of {host} would be stored with every result",
            remedy="Log in with a key: ssh-copy-id, ssh-agent.",
        )
    parameters = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return Target(
        uri=uri,
        ssh=SshAddress(
            host=host,
            user=parts.username or "",
            port=port,
            keyfile=_file(parameters, "keyfile"),
            known_hosts=_file(parameters, "known_hosts"),
        ),
    )


def _file(parameters: dict[str, str], name: str) -> str:
    value = parameters.get(name, "")
    if value and not Path(value).is_file():
        raise ConfigError(f"{name}={value}: no such file")
    return value
