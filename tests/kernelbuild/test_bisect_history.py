"""The whole search on real builds: 72 commits of Linux, both edges, each culprit proven and undone.

``pytest -m kernelbuild tests/kernelbuild/test_bisect_history.py``; ``KAB_TEST_HISTORY=DIR`` names a history that
``ci/make_history.py`` has made already. Builds in kab's own cache, so that a second run has a warm object tree.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExitCode
from harness.host.paths import default_paths

pytestmark = [pytest.mark.kernelbuild, pytest.mark.timeout(7200)]

_MAKER = Path(__file__).parents[2] / "ci" / "make_history.py"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The repository, and what its commits are."""
    named = os.environ.get("KAB_TEST_HISTORY")
    tree = Path(named) if named else tmp_path_factory.mktemp("history") / "linux"
    if not named:
        subprocess.run([sys.executable, _MAKER, tree], check=True)
    facts: dict[str, Any] = json.loads((tree / ".git" / "kab-history.json").read_text())
    return tree, facts


def test_both_commits_are_found_proven_and_undone(history: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    tree, facts = history
    report = tmp_path / "search.json"
    environment = {**os.environ, "KAB_STATE_DIR": str(tmp_path / "state"), "KAB_CACHE_DIR": str(default_paths().cache)}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "bisect", f"git:{tree}@v7.2-test..main", "--seed", "5", "--json", report],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=7000,
    )  # fmt: skip
    print(done.stdout, done.stderr, f"{(time.monotonic() - began) / 60:.1f} min", sep="\n")
    assert done.returncode == ExitCode.GOOD
    document = json.loads(report.read_text())
    assert [edge["culprit"]["sha"] for edge in document["edges"]] == [facts["removes"], facts["restores"]]
    assert all(edge["proven"] and edge["counterproof"]["holds"] for edge in document["edges"])
