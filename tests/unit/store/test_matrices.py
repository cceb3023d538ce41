"""Matrices: their plans, cells and outcomes come back as they were."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import factories
import pytest

from harness.errors import ConfigError, ExitCode, HostError
from harness.model.matrix import (
    Cell,
    CellResult,
    CellVerdict,
    Ending,
    FailKind,
    GatePolicy,
    MatrixOutcome,
    MatrixPlan,
    MetricVerdict,
    Waiver,
)
from harness.model.run import Parent, RunState, SubrunRole
from harness.model.verdict import Comparison, Verdict
from harness.store import SqlStore

pytestmark = pytest.mark.unit

WAIVER = Waiver(
    cells="*/btrfs",
    metrics="write_*",
    bound=0.12,
    owner="qa@example.org",
    reason="known",
    until=date(2027, 1, 31),
    where="waivers.yaml:3",
)
COMPARISON = Comparison(
    metric="write_iops", blocks=4, baseline=300.0, candidate=270.0, ratio=0.9, low=0.88, high=0.92, error=0.01,
    spread=0.02, verdict=Verdict.SLOWER,
)  # fmt: skip
PLAN = MatrixPlan(
    title="nightly",
    cells=tuple(
        Cell(name=f"shared/{fs}", axes={"workload": "shared", "fs": fs}, experiment=factories.experiment())
        for fs in ("btrfs", "ext4")
    ),
    policy=GatePolicy(margins={"write_iops": 0.05}, max_boots=100, max_time_s=3600.0, fails=(FailKind.DATA,)),
    waivers=(WAIVER,),
)
OUTCOME = MatrixOutcome(
    cells=(
        CellResult(
            cell="shared/btrfs",
            verdict=CellVerdict.SLOWER,
            reason="it is worse",
            metrics=(
                MetricVerdict(
                    metric="write_iops",
                    margin=0.05,
                    verdict=CellVerdict.SLOWER,
                    comparison=COMPARISON,
                    waiver=WAIVER,
                ),
            ),
            run_id="cell-1",
            baseline=factories.kernel("6.12"),
            candidate=factories.kernel("7.2"),
            boots=8,
            waiver=WAIVER,
        ),
        CellResult(cell="shared/ext4", verdict=CellVerdict.UNMEASURED, reason="no such kernel", trouble=ExitCode.USAGE),
    ),
    ending=Ending.TIME,
    boots=8,
    duration_s=12.5,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


def test_a_matrix_comes_back_as_it_was(store: SqlStore) -> None:
    run = replace(factories.run(), id="matrix-1", verb="gate", trials=(), state=RunState.OPEN, finished=None)
    store.matrices.create(run, PLAN)
    assert store.matrices.plan(run.id) == PLAN
    assert store.matrices.outcome(run.id) is None
    store.matrices.finish(run.id, OUTCOME)
    assert store.matrices.outcome(run.id) == OUTCOME
    assert store.run(run.id).state is RunState.FINISHED
    with pytest.raises(HostError, match="there is a run matrix-1"):
        store.matrices.create(run, PLAN)


def test_cells_are_found_by_their_names(store: SqlStore) -> None:
    run = replace(factories.run(), id="matrix-1", verb="run", trials=())
    store.matrices.create(run, PLAN)
    for number, role in enumerate((SubrunRole.CELL, SubrunRole.CONFIRMATION)):
        parent = Parent(run_id=run.id, role=role, place="shared/btrfs")
        store.create_run(replace(factories.run(), id=f"cell-{number}", parent=parent))
    assert store.matrices.cells(run.id) == {"shared/btrfs": "cell-0"}
    assert store.matrices.cells(run.id, SubrunRole.CONFIRMATION) == {"shared/btrfs": "cell-1"}


def test_the_newest_of_a_verb(store: SqlStore) -> None:
    assert store.matrices.newest() is None
    for verb in ("nightly", "gate"):
        store.matrices.create(replace(factories.run(), id=f"of-{verb}", verb=verb, trials=()), PLAN)
    assert store.matrices.newest() == "of-gate"
    assert store.matrices.newest(verb="nightly") == "of-nightly"


def test_what_is_no_matrix(store: SqlStore) -> None:
    store.create_run(factories.run())
    assert store.matrices.plan(factories.run().id) is None
    with pytest.raises(ConfigError, match="there is no run nowhere"):
        store.matrices.plan("nowhere")


def test_statuses() -> None:
    """Bad over trouble over doubt; a waived cell is good."""
    slower, unmeasured = OUTCOME.cells
    assert OUTCOME.exit_code is ExitCode.USAGE
    assert replace(OUTCOME, cells=(replace(slower, waiver=None), unmeasured)).exit_code is ExitCode.BAD
    doubtful = replace(slower, waiver=None, verdict=CellVerdict.INCONCLUSIVE)
    assert replace(OUTCOME, cells=(slower, doubtful)).exit_code is ExitCode.CANNOT_TELL
    assert replace(OUTCOME, cells=(slower,)).exit_code is ExitCode.GOOD
