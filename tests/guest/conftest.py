"""What guest tests share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from endtoend import leftovers, own_state
from rig import Rig

from harness.guest.connection import Connection
from harness.host.leases import Lease
from harness.host.paths import Paths, default_paths


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short name: kab's sockets lie below it, and a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="kab-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    # libvirt's sockets need a short path.
    state = Path(tempfile.mkdtemp(prefix="kab-"))
    paths = Paths(cache=default_paths().cache, state=state)
    try:
        with Lease(paths) as lease, Connection("embed", paths=paths, lease=lease) as connection:
            yield Rig(paths, lease, connection)
    finally:
        shutil.rmtree(state)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A state of its own, on this user's cache of kernels and images; nothing is left behind."""
    yield own_state(tmp_path)
    assert leftovers(tmp_path) == []
