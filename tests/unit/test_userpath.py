"""Paths as users write them."""

from pathlib import Path

import pytest

from harness.cli.errors import run_command
from harness.errors import ConfigError, ExitCode
from harness.userpath import user_path

pytestmark = pytest.mark.unit

NOBODY = "~nobody-of-this-name/x"


def test_home_folders_are_known(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert user_path("~/linux") == Path("/home/ann/linux")
    assert user_path("linux") == Path("linux")


def test_the_home_of_nobody_is_the_users_fault():
    with pytest.raises(ConfigError, match="there is no such user"):
        user_path(NOBODY)


@pytest.mark.parametrize(
    "words",
    [
        ["ab", f"tree:{NOBODY}", "host"],
        ["ab", f"file:{NOBODY}", "host"],
        ["bisect", "--config-diff", NOBODY, NOBODY, f"git:{NOBODY}@HEAD"],
        ["build", f"git:{NOBODY}@HEAD"],
    ],
)
def test_in_any_word_of_a_command(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path))
    assert run_command(words) == ExitCode.USAGE
    assert "there is no such user" in capsys.readouterr().err
