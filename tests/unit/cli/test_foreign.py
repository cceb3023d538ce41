"""Text from elsewhere on the terminal: neither its escape sequences nor its markup are obeyed."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from factories import block_spec, failed
from factories import run as make_run
from rich.console import Console

from harness.cli.live import LiveProgress
from harness.cli.progress import LineProgress
from harness.cli.reports import Reports
from harness.cli.tables import new_table
from harness.model.experiment import Arm
from harness.model.trial import Outcome, Stage

pytestmark = pytest.mark.unit

EVIL = "6.1\x1b]0;owned\x07[red]\u202e"
SHOWN = "6.1\\x1b]0;owned\\x07[red]\\u202e"


def evil_run() -> object:
    some = make_run()
    return replace(some, baseline=replace(some.baseline, spec=EVIL, release=EVIL, version=EVIL))


@pytest.mark.parametrize("kind", [LineProgress, LiveProgress])
def test_progress_shows_it(kind: type[LineProgress | LiveProgress]) -> None:
    out = io.StringIO()
    spec = block_spec(0, 0, Arm.BASELINE, seed=1)
    with kind(out) as progress:
        run = evil_run()
        progress.run_started(run, resumed_trials=0)
        progress.note(EVIL)
        progress.download(EVIL, 0, 10)
        progress.trial_started(spec, run.baseline)
        progress.stage(spec, Stage.MEASURE, EVIL)
        progress.trial_finished(failed(spec, Outcome.CRASHED, EVIL))
        if isinstance(progress, LiveProgress):
            Console(file=out, width=200).print(progress._render())
    told = "".join(out.getvalue().split("\n"))
    assert SHOWN in told
    for steering in ("\x1b", "\x07", "\u202e"):
        assert steering not in told


def test_tables_show_it() -> None:
    out = io.StringIO()
    table = new_table("kernel")
    table.add_texts(EVIL)
    Console(file=out, width=200).print(table)
    assert SHOWN in out.getvalue()


def test_names_of_files_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Reports(html=tmp_path / "a\x1b[31m").write({"html": lambda: "page"})
    assert capsys.readouterr().err.endswith("a\\x1b[31m\n")
