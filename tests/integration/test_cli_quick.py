"""Verbs that only read answer at once: what they import is counted, which a busy machine does not change."""

import subprocess
import sys
from pathlib import Path

import pytest
from factories import blocks, decide
from factories import run as make_run

from harness.store import SqlStore

pytestmark = pytest.mark.integration

# What boots, connects, fetches over SSH or decides; a quarter of a second to a second together.
BOOTS = frozenset({"libvirt", "paramiko", "cryptography"})
# What only brings a database of an older kab to today's form.
MIGRATES = frozenset({"alembic", "mako"})
DECIDES = frozenset({"numpy", "scipy"})


@pytest.mark.parametrize(
    ("words", "most", "forbidden"),
    [
        (("--help",), 280, BOOTS | DECIDES | {"sqlalchemy", "yaml", "jinja2"}),
        (("ab", "--help"), 300, BOOTS | DECIDES | {"sqlalchemy", "yaml", "jinja2"}),
        (("export", "last", "--format", "junit"), 545, BOOTS | DECIDES | {"jinja2"}),
        (("export", "last", "--format", "kcidb"), 545, BOOTS | DECIDES | {"jinja2"}),
        (("runs",), 545, BOOTS | DECIDES | {"jinja2"}),
        (("report", "last"), 575, BOOTS | DECIDES),
        (("alarms",), 545, BOOTS | DECIDES | {"jinja2"}),
        (("history",), 560, BOOTS | DECIDES),
        (("site", "public"), 600, BOOTS | DECIDES),
        (("kernels", "list"), 430, BOOTS | DECIDES | {"sqlalchemy", "jinja2"}),
        (("kernels", "show", "debian:6.12"), 430, BOOTS | DECIDES | {"sqlalchemy", "jinja2"}),
        (("image", "list"), 430, BOOTS | DECIDES | {"sqlalchemy", "jinja2"}),
        (("clean", "--leaks"), 430, BOOTS | DECIDES | {"sqlalchemy", "jinja2"}),
        # The fewest boots are what the statistics ask for, which need arrays.
        (("plan", "btrfs-dio"), 640, BOOTS | {"jinja2", "scipy"}),
        # A search's state is computed from its boots, so that it needs arrays, and no more.
        (("bisect", "status"), 640, BOOTS | {"jinja2", "scipy"}),
    ],
)
def test_verbs_that_read_import_little(
    words: tuple[str, ...], most: int, forbidden: frozenset[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    monkeypatch.chdir(tmp_path)
    # Nobody listens there, so that nothing is fetched.
    monkeypatch.setenv("KAB_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    monkeypatch.setenv("KAB_DEBIAN_SECURITY_MIRROR", "http://127.0.0.1:9/debian-security")
    trials = blocks(2)
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        store.create_run(make_run())
        for one in trials:
            store.append_trial(make_run().id, one)
        store.finish(make_run().id, decide(trials))
    program = (
        "import sys; from harness.cli.errors import run_command; "
        f"run_command({list(words)!r}); sys.stdout.flush(); print('loaded', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()[1:]
    assert not (forbidden | MIGRATES) & set(loaded)
    assert len(loaded) <= most, len(loaded)
