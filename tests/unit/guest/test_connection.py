"""The embedded driver's root, and what emulation is sound."""

import os
import sys
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.guest.accelerator import emulation_is_sound, require_sound_emulation
from harness.guest.connection import _make_root, _private_folder
from harness.host.paths import Paths

pytestmark = pytest.mark.unit


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
