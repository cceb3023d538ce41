"""What guest tests share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short name: kab's sockets lie below it, and a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="kab-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
