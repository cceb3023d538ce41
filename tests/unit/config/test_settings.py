"""Settings: environment over file over default."""

from pathlib import Path

import pytest

from harness.config.settings import Settings, load_settings
from harness.errors import ConfigError
from harness.host.paths import settings_file

pytestmark = pytest.mark.unit


def test_nothing_said(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.yaml", {}) == Settings()
    (tmp_path / "empty.yaml").touch()
    assert load_settings(tmp_path / "empty.yaml", {}) == Settings()


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("cache_limit: 10GiB\nconnect: qemu:///session\ndebian_mirror: http://mirror.example/debian/\n")
    settings = load_settings(path, {"KAB_CACHE_LIMIT": "5G", "KAB_DATABASE": "sqlite:///x.sqlite", "KAB_CONNECT": ""})
    assert settings == Settings(
        cache_limit_bytes=5 * 1024**3,
        connect="qemu:///session",
        debian_mirror="http://mirror.example/debian",
        database="sqlite:///x.sqlite",
    )


def test_a_tree_in_the_home_folder(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("tree: ~/linux\n")
    assert load_settings(path, {}).tree == Path.home() / "linux"
    assert load_settings(path, {"KAB_TREE": "/src/linux"}).tree == Path("/src/linux")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("cache_limit: 10GiB\ncache-limits: 10GiB\n")
    with pytest.raises(ConfigError, match=r"settings.yaml:2: unknown settings key 'cache-limits'"):
        load_settings(path, {})
    path.write_text("cache_limit: lots\n")
    with pytest.raises(ConfigError, match=r"settings.yaml:1: 'lots' is not a size"):
        load_settings(path, {})
    path.write_text("tree: linux\n")
    with pytest.raises(ConfigError, match=r"settings.yaml:1: 'linux' is no absolute path"):
        load_settings(path, {})
    with pytest.raises(ConfigError, match=r"KAB_CONNECT: 'here' is not a URI"):
        load_settings(tmp_path / "none.yaml", {"KAB_CONNECT": "here"})


def test_the_file_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_SETTINGS", "~/mine.yaml")
    assert settings_file() == Path.home() / "mine.yaml"
    monkeypatch.delenv("KAB_SETTINGS")
    assert settings_file().parts[-2:] == ("kab", "settings.yaml")
