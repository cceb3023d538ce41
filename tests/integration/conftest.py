"""Fixtures of several integration tests."""

from pathlib import Path

import pytest
from repositories import make_tree

from harness.git.repository import Repository


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A user's repository, as ``make_tree`` makes it."""
    tree = tmp_path / "linux"
    make_tree(tree)
    return tree


@pytest.fixture
def opened(tree: Path, tmp_path: Path) -> Repository:
    """It, opened, with our own beside it."""
    return Repository.open(tree, tmp_path / "own")
