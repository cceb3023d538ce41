"""Connection URIs, and errors in kab's words."""

import os
import sys
from pathlib import Path

import pytest

from harness.errors import ConfigError, HostError
from harness.guest.accelerator import emulation_is_sound, require_sound_emulation
from harness.guest.connection import EMBEDDED, _make_root, _private_folder, check_uri
from harness.host.paths import Paths

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("uri", ["", "embed", "qemu:///embed"])
def test_embedded(uri: str) -> None:
    assert check_uri(uri) == EMBEDDED


@pytest.mark.parametrize("uri", ["qemu:///session", "qemu:///system", "qemu+unix:///system?socket=/run/x"])
def test_daemons(uri: str) -> None:
    assert check_uri(uri) == uri


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("qemu+ssh://root@lab7/system", "ssh lab7 kab"),
        ("xen:///system", "QEMU only"),
        ("qemu:///sistem", "qemu:///session"),
        ("session", "QEMU only"),
    ],
)
def test_what_cannot_be_used_is_said(uri: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_uri(uri)
    assert said in str(caught.value)


def test_root_is_private_and_short_enough_for_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Path(f"/tmp/kab-unit-{os.getpid()}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    state = tmp_path / ("long" * 30)
    root = _make_root(Paths(cache=tmp_path / "cache", state=state))
    try:
        assert root.parent == runtime / "kab"
        assert root.parent.stat().st_mode & 0o777 == 0o700
        assert len(f"{root}/lib/qemu/domain-99999-12345678901234567890/monitor.sock") <= 107
        assert (root / "cache").resolve() == tmp_path / "cache" / "libvirt"
    finally:
        (root / "cache").unlink()
        for path in sorted(runtime.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        runtime.rmdir()


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    trap.chmod(0o777)
    with pytest.raises(HostError, match="not a private folder"):
        _private_folder(trap)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(HostError, match="not a private folder"):
        _private_folder(link)


@pytest.mark.parametrize(("version", "sound"), [("7.2.22", False), ("8.0.0", True), ("10.0.2", True), ("", False)])
def test_sound_emulation(version: str, sound: bool) -> None:
    assert emulation_is_sound(version) is sound


def test_unsound_emulation_names_the_remedy() -> None:
    with pytest.raises(HostError) as caught:
        require_sound_emulation("7.2.22")
    assert "-backports qemu-system-x86" in caught.value.remedy
    require_sound_emulation("10.0.2")


def test_libvirt_does_not_leave_its_log_settings_to_our_children() -> None:
    assert "libvirt" in sys.modules
    assert os.environ.get("LIBVIRT_LOG_OUTPUTS") is None
