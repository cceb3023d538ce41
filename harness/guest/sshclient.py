"""Logging in to another host as ssh would: the user's own keys, agent, ~/.ssh/config and known_hosts."""

import getpass
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paramiko

from harness.errors import ConfigError, HostError
from harness.guest.uri import SshAddress
from harness.userpath import user_path

_log = logging.getLogger(__name__)

_TIMEOUT_S = 20.0
_SSH_PORT = 22
# As ssh(1) has them.
_SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_CHANNEL_LOG = f"{__name__}.paramiko"
logging.getLogger(_CHANNEL_LOG).setLevel(logging.CRITICAL)


def log_in(address: SshAddress) -> paramiko.SSHClient:
    """An authenticated connection. Host keys must be known already, and nothing is asked.

    Raises ConfigError (a broken ~/.ssh/config), HostError (not reached, unknown host key, no key accepted).
    """
    config = _config(address.host)
    client = paramiko.SSHClient()
    client.set_log_channel(_CHANNEL_LOG)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    for known_hosts in _known_hosts(address, config):
        _load(client, known_hosts)
    host = str(config.get("hostname", address.host))
    port = address.port or int(str(config.get("port", _SSH_PORT)))
    # Paramiko takes several, which its stubs do not know.
    keyfiles: Any = [address.keyfile] if address.keyfile else _existing(config.get("identityfile", []))
    proxy = _proxy(config, address.host)
    try:
        client.connect(
            host,
            port=port,
            username=address.user or str(config.get("user", "")) or getpass.getuser(),
            key_filename=keyfiles or None,
            timeout=_TIMEOUT_S,
            banner_timeout=_TIMEOUT_S,
            auth_timeout=_TIMEOUT_S,
            sock=paramiko.ProxyCommand(proxy) if proxy else None,
        )
    except (paramiko.SSHException, EOFError, OSError) as error:
        client.close()
        raise HostError(f"cannot log in to {address.host}: {_said(error)}", remedy=_remedy(error, address)) from error
    return client


def _config(host: str) -> Mapping[str, str | list[str]]:
    path = Path.home() / ".ssh/config"
    if not path.is_file():
        return {}
    try:
        found: Mapping[str, str | list[str]] = paramiko.SSHConfig.from_path(str(path)).lookup(host)
    except (paramiko.SSHException, OSError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return found


def _proxy(config: Mapping[str, str | list[str]], host: str) -> str:
    """The command that reaches a host which is not reached directly; "" for those that are."""
    if config.get("proxyjump", "none") != "none":
        # As ssh does it; its own configuration knows the host's real name and port.
        return f"ssh -W {config.get('hostname', host)}:{config.get('port', _SSH_PORT)} {config['proxyjump']}"
    command = str(config.get("proxycommand", "none"))
    return "" if command == "none" else command


def _known_hosts(address: SshAddress, config: Mapping[str, str | list[str]]) -> list[Path]:
    if address.known_hosts:
        return [Path(address.known_hosts)]
    named = str(config.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")).split()
    return [user_path(name) for name in named] + [_SYSTEM_KNOWN_HOSTS]


def _load(client: paramiko.SSHClient, known_hosts: Path) -> None:
    if not known_hosts.is_file():
        return
    try:
        client.load_system_host_keys(str(known_hosts))
    except (paramiko.SSHException, OSError) as error:
        _log.warning("cannot read %s: %s", known_hosts, error)


def _existing(names: str | list[str]) -> list[str]:
    paths = [user_path(name) for name in ([names] if isinstance(names, str) else names)]
    return [str(path) for path in paths if path.is_file()]


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _remedy(error: Exception, address: SshAddress) -> str:
    login = f"{address.user}@{address.host}" if address.user else address.host
    port = f" -p {address.port}" if address.port else ""
    if isinstance(error, paramiko.BadHostKeyException):
        return "Somebody else answers there, or its key was changed: see ssh-keygen -R, and ask its administrator."
    if "not found in known_hosts" in str(error):
        return f"Log in once by hand, and compare its fingerprint: ssh{port} {login} true"
    if isinstance(error, paramiko.AuthenticationException) or "authentication" in str(error).lower():
        return f"kab asks for no password: make this work first: ssh -o BatchMode=yes{port} {login} true"
    return f"Does it answer to: ssh -o BatchMode=yes{port} {login} true"
