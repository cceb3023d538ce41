"""`kab store` on the command line, and what `kab runs` and `kab doctor` tell of databases."""

from collections.abc import Iterator
from pathlib import Path

import factories
import pytest
from olddatabases import dumped, put_old

from harness.cli.errors import run_command
from harness.errors import ExitCode
from harness.lab.lab import Lab
from harness.model.check import CheckStatus
from harness.store import SqlStore
from harness.store.served import open_store

pytestmark = pytest.mark.unit

# Nobody listens there.
AWAY = "postgresql://kab:sesame@127.0.0.1:9/kab"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    monkeypatch.delenv("KAB_DATABASE", raising=False)
    return tmp_path


@pytest.fixture
def store(here: Path) -> Iterator[SqlStore]:
    with SqlStore(here / "state" / "results.sqlite") as opened:
        opened.create_run(factories.run(factories.blocks(2), id="one"))
        opened.create_run(factories.run(id="two"))
        yield opened


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = ExitCode.GOOD) -> str:
    assert run_command(list(words)) == status
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert "sesame" not in told.out + told.err
    return told.out + told.err


def test_info(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "store", "info")
    for words in (store.name, "SQLite", "2 ab", "108"):
        assert words in told
    assert said(capsys, "store", "info", store.name) == told


def test_copy(store: SqlStore, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("store", "copy", store.name, "new.sqlite")
    assert "2 runs are new, 0 went on, 0 were there already; 4 boots and 0 alarms are new." in said(capsys, *words)
    assert "0 runs are new, 0 went on, 2 were there already" in said(capsys, *words)
    with SqlStore(here / "new.sqlite") as copied:
        assert [run.id for run in copied.runs()] == ["two", "one"]
        copied.append_trial("two", factories.blocks(1, seed=1)[0])
    store.append_trial("two", factories.blocks(1, seed=2)[0])
    told = said(capsys, *words, status=ExitCode.HOST)
    assert "refused, as there are others of the same id: two. Both databases keep theirs." in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("copy", "nothing.sqlite", "new.sqlite"), "there is no database nothing.sqlite"),
        (("copy", "state/results.sqlite", "./state/../state/results.sqlite"), "are the same database"),
        (("info", "nothing.sqlite"), "there is no database nothing.sqlite"),
        (("info", "mysql://kab:sesame@db/kab"), "cannot use the database"),
        (("copy", "state/results.sqlite", "nosuch://db/kab"), "cannot use the database"),
        (("deliver",), "results are in a file"),
    ],
)
def test_what_cannot_be(
    store: SqlStore, here: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in said(capsys, "store", *words, status=ExitCode.USAGE)
    assert not (here / "new.sqlite").exists()


def test_a_server_that_is_away(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KAB_DATABASE", AWAY)
    assert "does not answer" in said(capsys, "runs", status=ExitCode.HOST)
    with open_store(AWAY, outboxes=here / "state" / "outbox", note=lambda _: None) as store:
        store.create_run(factories.run(factories.blocks(2), id="one"))
    told = said(capsys, "runs")
    assert "one" in told
    assert "4 boots of 1 runs wait here for the database" in told
    assert "does not answer" in said(capsys, "store", "deliver", status=ExitCode.HOST)
    found = next(check for check in Lab().examine() if check.name == "results")
    assert found.status is CheckStatus.WARN
    assert "4 boots of 1 runs wait here for it" in found.detail
    assert "sesame" not in found.detail + found.remedy


def results() -> tuple[CheckStatus, str]:
    found = next(check for check in Lab().examine() if check.name == "results")
    return found.status, found.detail


def test_doctor_looks_at_the_database_and_makes_none(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = here / "state" / "results.sqlite"
    status, detail = results()
    assert (status, detail) == (CheckStatus.OK, f"none yet; {path} will hold them")
    assert not path.exists()
    with SqlStore(path) as store:
        store.create_run(factories.run())
    assert results() == (CheckStatus.OK, f"{path} holds 1 runs")
    path.write_bytes(b"no database" * 1000)
    status, detail = results()
    assert status is CheckStatus.FAIL
    assert "is not a database" in detail
    monkeypatch.setenv("KAB_DATABASE", "nosuch://db/kab")
    assert results()[0] is CheckStatus.FAIL


def test_doctor_migrates_nothing(here: Path) -> None:

    (here / "state").mkdir()
    path = put_old(3, here / "state" / "results.sqlite")
    before = dumped(path)
    assert "in schema version 3, which the next run brings to" in results()[1]
    assert dumped(path) == before
