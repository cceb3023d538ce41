"""Connection URIs: what they say, and what is refused."""

from pathlib import Path

import pytest

from harness.errors import ConfigError, HostError
from harness.guest.sshclient import _known_hosts, _proxy, log_in
from harness.guest.uri import EMBEDDED, SshAddress, parse_uri

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("uri", ["", "embed", "qemu:///embed"])
def test_embedded(uri: str) -> None:
    target = parse_uri(uri)
    assert (target.uri, target.ssh, target.is_system) == (EMBEDDED, None, False)


@pytest.mark.parametrize("uri", ["qemu:///session", "qemu:///system", "qemu+unix:///system?socket=/run/x"])
def test_daemons_of_this_host(uri: str) -> None:
    target = parse_uri(uri)
    assert (target.libvirt_uri, target.ssh) == (uri, None)
    assert target.is_system == ("system" in uri)


def test_daemons_of_another_host(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    assert parse_uri("qemu+ssh://lab7/system").ssh == SshAddress(host="lab7")
    target = parse_uri(f"qemu+ssh://ann@[fe80::1]:2222/session?keyfile={key}&socket=/run/x")
    assert target.ssh == SshAddress(host="fe80::1", user="ann", port=2222, keyfile=str(key))


def test_the_ssh_of_libvirt_asks_nothing() -> None:
    assert parse_uri("qemu+ssh://lab7/system").libvirt_uri == "qemu+ssh://lab7/system?no_tty=1"
    assert parse_uri("qemu+ssh://lab7/system?socket=/x").libvirt_uri.endswith("?socket=/x&no_tty=1")
    assert parse_uri("qemu+ssh://lab7/system?no_tty=0").libvirt_uri.endswith("?no_tty=0")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("xen:///system", "QEMU only"),
        ("qemu:///sistem", "qemu:///session"),
        ("session", "QEMU only"),
        ("qemu+ssh://lab7/embed", "no such QEMU driver"),
        ("qemu+ssh://lab7:many/system", "malformed URI"),
        ("qemu+ssh://lab7:99999/system", "malformed URI"),
        ("qemu+ssh:///system", "qemu+ssh://HOST/system"),
        ("qemu://lab7/system", "qemu+ssh://lab7/system"),
        ("qemu+tcp://lab7/session", "qemu+ssh://lab7/session"),
        ("qemu+unix://lab7/system", "qemu+ssh://lab7/system"),
        ("qemu+ssh://ann:secret@lab7/system", "ssh-agent"),
        ("qemu+ssh://lab7/system?keyfile=/nowhere/key", "keyfile=/nowhere/key: no such file"),
    ],
)
def test_what_cannot_be_used_is_said(uri: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_uri(uri)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "proxy"),
    [
        ({}, ""),
        ({"proxycommand": "none", "proxyjump": "none"}, ""),
        ({"proxycommand": "nc %h"}, "nc %h"),
        ({"proxyjump": "gate", "hostname": "lab7.example", "port": "2222"}, "ssh -W lab7.example:2222 gate"),
        ({"proxyjump": "gate"}, "ssh -W lab7:22 gate"),
    ],
)
def test_hosts_behind_others(config: dict[str, str | list[str]], proxy: str) -> None:
    assert _proxy(config, "lab7") == proxy


def test_known_hosts_are_those_of_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert _known_hosts(SshAddress(host="lab7", known_hosts="/k"), {}) == [Path("/k")]
    usual = _known_hosts(SshAddress(host="lab7"), {})
    assert usual[0] == Path("/home/ann/.ssh/known_hosts")
    assert usual[-1] == Path("/etc/ssh/ssh_known_hosts")
    own = _known_hosts(SshAddress(host="lab7"), {"userknownhostsfile": "~/lab"})
    assert own[0] == Path("/home/ann/lab")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(HostError, match=r"cannot log in to 127\.0\.0\.1: Unable to connect to port 1 ") as caught:
        log_in(SshAddress(host="127.0.0.1", port=1))
    assert "ssh -o BatchMode=yes -p 1 127.0.0.1" in caught.value.remedy


def test_a_broken_configuration_of_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Match nonsense\n")
    with pytest.raises(ConfigError, match="ssh/config"):
        log_in(SshAddress(host="127.0.0.1", port=1))
