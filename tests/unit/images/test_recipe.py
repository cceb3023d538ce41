"""Recipes: what is in them, and that nothing in them can change without changing the image's name."""

import shutil
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.images.recipe import load_recipe, read_recipe

pytestmark = pytest.mark.unit


@pytest.fixture
def directory(tmp_path) -> Path:
    return Path(shutil.copytree(load_recipe().directory, tmp_path / "debian"))


def test_the_shipped_recipe_has_what_trials_call():
    recipe = load_recipe()
    assert {"openssh-server", "fio", "btrfs-progs", "xfsprogs", "e2fsprogs", "busybox-static"} <= set(recipe.packages)
    assert recipe.suite == "trixie"
    assert not any(pattern.startswith("/") for pattern in recipe.strip), "patterns are relative to the guest's root"


def test_comments_and_blanks_change_nothing(directory):
    before = read_recipe(directory).digest(1)
    text = (directory / "packages.txt").read_text()
    (directory / "packages.txt").write_text(f"# more\n\n{text}")
    assert read_recipe(directory).digest(1) == before


@pytest.mark.parametrize(
    ("name", "line"), [("packages.txt", "strace\n"), ("strip.txt", "opt/*\n"), ("root/etc/ssh/sshd_config", "# x\n")]
)
def test_content_changes_the_digest(directory, name, line):
    before = read_recipe(directory).digest(1)
    with (directory / name).open("a") as file:
        file.write(line)
    assert read_recipe(directory).digest(1) != before


def test_suite_mode_new_file_and_builder_change_the_digest(directory):
    seen = {read_recipe(directory).digest(1), read_recipe(directory).digest(2)}
    (directory / "suite").write_text("sid\n")
    seen.add(read_recipe(directory).digest(1))
    (directory / "root/usr/sbin/kab-init").chmod(0o644)
    seen.add(read_recipe(directory).digest(1))
    (directory / "root/etc/new").touch()
    seen.add(read_recipe(directory).digest(1))
    assert len(seen) == 5


def test_an_incomplete_recipe_is_refused(directory):
    (directory / "packages.txt").write_text("# nothing\n")
    with pytest.raises(HostError, match="at least one package"):
        read_recipe(directory)
    (directory / "packages.txt").unlink()
    with pytest.raises(HostError, match=r"cannot read .*packages\.txt"):
        read_recipe(directory)
