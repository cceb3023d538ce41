"""What holds for every unit test."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Never the results of the person who runs the tests: they may be of another version, and are not ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAB_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield
