"""Stored matrices come back as views: finished, open, of one A/B run; nothing else is taken for one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import factories
import matrices
import pytest
from cellworlds import World, loop, plan, request
from sites import stored

from harness.config import Settings
from harness.errors import ConfigError, ExitCode, HostError
from harness.host.paths import Paths
from harness.lab.matrixviews import matrix_view, rejudged
from harness.lab.workspace import Workspace
from harness.model.matrix import CellVerdict, GatePolicy, MatrixView
from harness.model.run import RunState

pytestmark = pytest.mark.unit


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    paths = Paths(cache=tmp_path / "cache", state=tmp_path / "state")
    with Workspace(settings=Settings(), paths=paths) as opened:
        yield opened


@pytest.mark.parametrize("make", [matrices.gate, matrices.matrix_run, matrices.hostile])
def test_a_finished_matrix_comes_back(workspace: Workspace, make: object) -> None:
    asked = stored(workspace, make())  # type: ignore[operator]
    found = matrix_view(workspace, asked.run.id)
    assert found.plan == asked.plan
    assert found.outcome == asked.outcome
    assert not found.open
    assert [cell.cell for cell in found.cells] == list(asked.plan.cells)
    for cell, wanted in zip(found.cells, asked.cells, strict=True):
        assert cell.result == wanted.result
        assert (cell.run is None) == (wanted.run is None)
        assert cell.decision == wanted.decision
        if cell.run is not None and wanted.run is not None:
            assert len(cell.run.trials) == len(wanted.run.trials)
    assert matrix_view(workspace, "last").run.id == asked.run.id


def test_an_open_one_says_what_is_known(workspace: Workspace) -> None:
    made = matrices.matrix_run()
    begun = made.cells[2]
    assert begun.run is not None
    cells = (
        *made.cells[:2],
        replace(begun, decision=None, run=replace(begun.run, state=RunState.OPEN, finished=None)),
        *(replace(cell, run=None, decision=None) for cell in made.cells[3:]),
    )
    stored(workspace, replace(made, cells=cells, open=True))
    found = matrix_view(workspace, "last")
    assert found.open
    assert found.outcome.exit_code in {ExitCode.CANNOT_TELL, ExitCode.BAD}
    assert [cell.result.verdict for cell in found.cells[2:]] == [CellVerdict.INCONCLUSIVE] * 6
    assert found.cells[2].result.reason == f"not finished: {len(begun.run.trials)} boots are made"
    assert found.cells[3].result.reason == "not begun"
    assert found.cells[0].result.verdict == made.cells[0].result.verdict
    assert found.outcome.boots == sum(len(cell.run.trials) for cell in cells if cell.run)
    assert found.outcome.duration_s > 0


def test_an_open_gate_says_what_it_believes(workspace: Workspace) -> None:
    world = World(speeds={"b": 0.4}, noises={"a": 0.3, "c": 0.3}, kill_after=31)
    with pytest.raises(KeyboardInterrupt):
        loop(workspace.store, world).execute(request(plan("a", "b", "c", policy=GatePolicy(error=0.15))))
    found = matrix_view(workspace, "last")
    results = {result.cell: result for result in found.outcome.cells}
    assert found.open
    assert results["b"].verdict is CellVerdict.SLOWER
    assert "of at most 10 blocks" in results["a"].reason or results["a"].verdict is CellVerdict.NOT_WORSE
    assert found.outcome.boots == 31
    assert found.outcome.exit_code is ExitCode.BAD


def test_a_gate_that_has_not_begun_says_so(workspace: Workspace) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop(workspace.store, World(kill_after=0)).execute(request(plan("a", "b", policy=GatePolicy())))
    found = matrix_view(workspace, "last")
    assert [result.verdict for result in found.outcome.cells] == [CellVerdict.INCONCLUSIVE] * 2


def test_an_ab_run_is_a_matrix_of_one_cell(workspace: Workspace) -> None:
    trials = factories.blocks(4)
    run = factories.run(trials)
    workspace.store.create_run(run)
    assert matrix_view(workspace, run.id).open
    workspace.store.finish(run.id, factories.decide(trials))
    found = matrix_view(workspace, run.id)
    (cell,) = found.cells
    assert not found.open
    assert cell.cell.name == "shared-file"
    assert cell.result.verdict is CellVerdict.FASTER
    assert cell.result.boots == found.outcome.boots == 8
    assert [metric.metric for metric in cell.result.metrics] == ["write_iops", "queue_depth"]
    assert found.outcome.exit_code is ExitCode.GOOD


def test_a_search_is_none(workspace: Workspace) -> None:
    workspace.store.create_run(factories.run(verb="bisect"))
    with pytest.raises(ConfigError, match="no matrix but a `kab bisect`"):
        matrix_view(workspace, "last")


WAIVERS = """\
- {cells: b, owner: ann@example.org, reason: known, until: 2199-01-31}
- {cells: elsewhere/*, owner: bob@example.org, reason: of a cell that was left out, until: 2199-01-31}
"""


def gate_of(workspace: Workspace, verb: str = "gate", prefix: str = "") -> MatrixView:
    """A stored gate whose cell b is slower, and whose cell c the host took."""
    names = [f"{prefix}{name}" for name in "abc"]
    world = World(speeds={names[1]: 0.6}, raising={names[2]: HostError("QEMU went away")})
    run, _ = loop(workspace.store, world).execute(request(plan(*names, policy=GatePolicy()), verb=verb))
    return matrix_view(workspace, run.id)


def test_a_stored_gate_is_judged_anew_with_the_waivers_that_are_of_it(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(WAIVERS)
    view = gate_of(workspace)
    assert view.outcome.exit_code is ExitCode.BAD
    anew = rejudged(view, file)
    a, b, c = anew.outcome.cells
    assert a == view.outcome.cells[0]
    assert (b.verdict, b.waiver and b.waiver.owner) == (CellVerdict.SLOWER, "ann@example.org")
    # What the host took, no waiver gives back.
    assert c == view.outcome.cells[2]
    assert anew.outcome.exit_code is ExitCode.HOST
    assert matrix_view(workspace, view.run.id) == view
    file.write_text(WAIVERS.replace("cells: b,", "cells: nowhere,"))
    with pytest.raises(ConfigError, match="fits nothing"):
        rejudged(view, file)
    file.write_text("")
    assert rejudged(view, file).outcome == view.outcome


def test_waivers_of_the_file_hold_on_every_series_of_a_night(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(WAIVERS)
    anew = rejudged(gate_of(workspace, "nightly", "debian:6.12/"), file)
    assert anew.outcome.cells[1].waiver is not None
