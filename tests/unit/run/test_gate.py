"""The loop of a gate: where blocks go, what ends it, what it resumes with, and what waivers bear with."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from cellworlds import Watching, World, cell, loop, plan, request

from harness.errors import BuildError, ConfigError, ExitCode, HostError
from harness.model.experiment import Arm
from harness.model.matrix import (
    CellResult,
    CellVerdict,
    Ending,
    FailKind,
    GatePolicy,
    MatrixOutcome,
    MatrixPlan,
    Waiver,
)
from harness.model.run import RunState
from harness.model.trial import Finding, FindingKind, Outcome
from harness.model.verdict import Verdict
from harness.run.cellresults import not_there
from harness.store import SqlStore

pytestmark = pytest.mark.unit

POLICY = GatePolicy(margins={"write_iops": 0.05})
LOST = HostError("QEMU went away")
WAIVER = Waiver(
    cells="b", metrics="write_iops", bound=0.3, owner="ann@example.org", reason="known", until=date(2030, 1, 1)
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


def gate(*names: str, policy: GatePolicy = POLICY, **changes: object) -> MatrixPlan:
    return plan(*names, policy=policy, **changes)


def by_name(outcome: MatrixOutcome) -> dict[str, CellResult]:
    return {result.cell: result for result in outcome.cells}


def verdicts(outcome: MatrixOutcome) -> list[str]:
    return [str(result.verdict) for result in outcome.cells]


def test_clear_cells_end_early_and_a_slower_one_fails_the_gate(store: SqlStore) -> None:
    world, told = World(speeds={"b": 0.8}), Watching()
    run, outcome = loop(store, world, told).execute(request(gate("a", "b", "c")))
    assert verdicts(outcome) == ["not-worse", "slower", "not-worse"]
    assert outcome.exit_code is ExitCode.BAD
    assert outcome.ending is Ending.DONE
    assert outcome.boots == len(world.made) < 3 * 20
    assert run.state is RunState.FINISHED
    assert store.matrices.outcome(run.id) == outcome
    slower = by_name(outcome)["b"]
    assert slower.reason == "write_iops shown to be worse than allowed"
    (metric,) = slower.metrics
    assert (metric.margin, metric.verdict) == (0.05, CellVerdict.SLOWER)
    assert metric.comparison.high is not None
    assert metric.comparison.high < 1 / 1.05
    for result in outcome.cells:
        made = store.run(result.run_id or "")
        assert made.state is RunState.FINISHED
        assert store.decision(made.id) is not None
        assert result.boots == len(made.trials)
    assert {result.cell for result in told.finished} == {"a", "b", "c"}
    assert told.views[-1].undecided == frozenset()
    assert told.views[0].undecided == {"a", "b", "c"}


def test_every_cell_gets_its_first_blocks_in_turn_and_blocks_are_whole(store: SqlStore) -> None:
    world = World()
    loop(store, world).execute(request(gate("a", "b", "c", "d")))
    order = world.order
    assert order[::2] == order[1::2], "a block is two boots of one cell"
    first = order[:8:2]
    assert sorted(first) == ["a", "b", "c", "d"]
    second = order[8:16:2]
    assert sorted(second) == ["a", "b", "c", "d"]


def test_the_order_of_cells_is_drawn(store: SqlStore, tmp_path: Path) -> None:
    """A drift of the host must not always find the same cell first."""
    firsts = []
    for seed in range(12):
        with SqlStore(tmp_path / f"{seed}.sqlite") as other:
            world = World(kill_after=8)
            with pytest.raises(KeyboardInterrupt):
                loop(other, world).execute(request(gate("a", "b", "c", "d"), seed=seed))
        firsts.append(world.order[0])
    assert len(set(firsts)) >= 3


@pytest.mark.parametrize("boots", [0, 1, 2, 3, 7, 12, 17, 23])
def test_a_killed_gate_goes_on_at_any_boot(store: SqlStore, boots: int, tmp_path: Path) -> None:
    asked = request(gate("a", "b", "c"))
    speeds, broken = {"b": 0.8}, {("c", Arm.CANDIDATE): Outcome.HUNG}
    with SqlStore(tmp_path / "whole.sqlite") as other:
        whole = World(speeds=speeds, broken=broken)
        _, wanted = loop(other, whole).execute(asked)
    world = World(speeds=speeds, broken=broken, kill_after=boots)
    if boots < len(whole.made):
        with pytest.raises(KeyboardInterrupt):
            loop(store, world).execute(asked)
        assert store.run("last").state is RunState.OPEN
    world.kill_after = None
    run, outcome = loop(store, world).execute(asked)
    assert world.made == whole.made, "nothing is lost, doubled or moved"
    assert verdicts(outcome) == verdicts(wanted) == ["not-worse", "slower", "faulty"]
    assert outcome.boots == len(world.made)
    assert sum(len(store.run(one).trials) for one in store.matrices.cells(run.id).values()) == len(world.made)


def test_a_budget_of_boots_ends_in_inconclusive_cells(store: SqlStore) -> None:
    policy = replace(POLICY, max_boots=13)
    world = World(noise=0.2)
    run, outcome = loop(store, world).execute(request(gate("a", "b", policy=policy)))
    assert outcome.ending is Ending.BOOTS
    # No block is begun that cannot be paid.
    assert outcome.boots == len(world.made) == 12
    assert verdicts(outcome) == ["inconclusive", "inconclusive"]
    assert outcome.exit_code is ExitCode.CANNOT_TELL
    assert all(result.reason.startswith("the budget of boots is spent; ") for result in outcome.cells)
    assert all(store.run(one).state is RunState.FINISHED for one in store.matrices.cells(run.id).values())


def test_a_budget_of_time_counts_what_was_spent_before(store: SqlStore) -> None:
    policy = replace(POLICY, max_time_s=300.0)
    world = World(noise=0.2, kill_after=5)
    with pytest.raises(KeyboardInterrupt):
        loop(store, world).execute(request(gate("a", "b", policy=policy)))
    world.kill_after = None
    _, outcome = loop(store, world).execute(request(gate("a", "b", policy=policy)))
    assert outcome.ending is Ending.TIME
    # 20 s a boot: 15 would fit, and a block is two.
    assert len(world.made) == 14
    assert outcome.duration_s == 280.0
    assert all(result.reason.startswith("the budget of time is spent; ") for result in outcome.cells)


def test_the_caps_of_cells_end_a_gate_without_a_budget(store: SqlStore) -> None:
    world = World(noise=0.3)
    _, outcome = loop(store, world).execute(request(gate("a", "b")))
    assert outcome.ending is Ending.DONE
    assert Counter(world.order) == {"a": 20, "b": 20}
    assert verdicts(outcome) == ["inconclusive", "inconclusive"]
    assert "all 10 blocks are made, write_iops not decided" in outcome.cells[0].reason


def test_failures_and_warnings_count_whatever_the_speed(store: SqlStore) -> None:
    warning = Finding(kind=FindingKind.WARNING, message="WARNING: fs/btrfs/x.c:1", excerpt="x")
    world = World(
        broken={
            ("a", Arm.CANDIDATE): Outcome.CRASHED,
            ("b", Arm.CANDIDATE): Outcome.CORRUPTED,
            ("c", Arm.BASELINE): Outcome.CORRUPTED,
        },
        warnings={"d": warning},
        speeds={"d": 1.3},
    )
    _, outcome = loop(store, world).execute(request(gate("a", "b", "c", "d", "e")))
    found = by_name(outcome)
    assert verdicts(outcome) == ["faulty", "faulty", "inconclusive", "faulty", "not-worse"]
    assert found["a"].fails == (FailKind.FAULT,)
    assert "the candidate crashed in 1 of 1 boots" in found["a"].reason
    assert found["b"].fails == (FailKind.DATA,)
    assert "nothing to be measured against" in found["c"].reason
    assert found["d"].fails == (FailKind.WARNING,)
    assert "new in the candidate's log" in found["d"].reason
    assert "fs/btrfs/x.c" in found["d"].reason
    assert outcome.exit_code is ExitCode.BAD


def test_boots_that_fail_each_in_another_way_end_their_cell(store: SqlStore) -> None:
    ways = iter([Outcome.HUNG, Outcome.WORKLOAD_FAILED, Outcome.USERSPACE_DIED] * 4)

    class Unstable(World):
        def __call__(self, asked: object, spec: object, booted: object) -> object:
            if asked.workload.name == "a" and spec.place.arm is Arm.CANDIDATE:  # type: ignore[attr-defined]
                self.broken = {("a", Arm.CANDIDATE): next(ways)}
            return super().__call__(asked, spec, booted)  # type: ignore[arg-type]

    world = Unstable()
    _, outcome = loop(store, world).execute(request(gate("a", "b")))
    assert outcome.cells[1].verdict is CellVerdict.NOT_WORSE
    assert outcome.cells[0].verdict in {CellVerdict.INCONCLUSIVE, CellVerdict.FAULTY}
    assert len(world.made) < 40


def test_a_cell_that_the_host_takes_is_unmeasured_and_the_others_are_told(store: SqlStore) -> None:
    world = World(raising={"b": LOST})
    _, outcome = loop(store, world).execute(request(gate("a", "b", "c")))
    assert verdicts(outcome) == ["not-worse", "unmeasured", "not-worse"]
    assert outcome.exit_code is ExitCode.HOST
    assert world.order.count("b") == 0


def test_a_host_that_is_gone_stops_the_gate_which_goes_on(store: SqlStore) -> None:
    world = World()

    class Dying(World):
        def __call__(self, asked: object, spec: object, booted: object) -> object:
            if len(self.made) >= 9:
                raise LOST
            return super().__call__(asked, spec, booted)  # type: ignore[arg-type]

    dying = Dying()
    with pytest.raises(HostError, match="2 cells in a row"):
        loop(store, dying).execute(request(gate("a", "b", "c")))
    opened = store.run("last")
    assert opened.state is RunState.OPEN
    run, outcome = loop(store, world).execute(request(gate("a", "b", "c")))
    assert run.id == opened.id
    assert verdicts(outcome) == ["not-worse"] * 3
    assert outcome.boots == 9 + len(world.made)


def test_kernels_that_cannot_be_had_do_not_end_the_gate(store: SqlStore) -> None:
    gone = not_there(cell("gone"), Arm.CANDIDATE, BuildError("cc1: error"), baseline=None, candidate=None)
    _, outcome = loop(store, World()).execute(request(gate("gone", "a"), results={"gone": gone}))
    assert verdicts(outcome) == ["faulty", "not-worse"]


# Waivers.


def test_a_waiver_bears_with_what_is_not_worse_than_its_bound(store: SqlStore) -> None:
    world = World(speeds={"b": 0.85})
    # Two hypotheses at 5 % each: worse can be shown by the fourth block, after which b is cleared with its waiver.
    _, outcome = loop(store, world).execute(
        request(gate("a", "b", policy=replace(POLICY, error=0.1), waivers=(WAIVER,)))
    )
    waived = by_name(outcome)["b"]
    assert (waived.verdict, waived.waiver) == (CellVerdict.SLOWER, WAIVER)
    assert waived.exit_code is ExitCode.GOOD
    assert "write_iops, not worse than 30%" in waived.reason
    (metric,) = waived.metrics
    assert (metric.verdict, metric.waiver, metric.margin) == (CellVerdict.SLOWER, WAIVER, 0.05)
    assert outcome.exit_code is ExitCode.GOOD


def test_a_waiver_does_not_bear_with_what_is_worse_than_its_bound(store: SqlStore) -> None:
    world = World(speeds={"b": 0.6})
    _, outcome = loop(store, world).execute(request(gate("a", "b", waivers=(WAIVER,))))
    worse = by_name(outcome)["b"]
    assert (worse.verdict, worse.waiver) == (CellVerdict.SLOWER, None)
    assert worse.metrics[0].margin == 0.3
    assert outcome.exit_code is ExitCode.BAD


def test_a_waiver_needs_proof_as_a_margin_does(store: SqlStore) -> None:
    """Worse than its margin, and nobody can tell whether by more than the bound: that is no pass."""
    world = World(speeds={"b": 0.77}, noise=0.05)
    _, outcome = loop(store, world).execute(request(gate("b", waivers=(WAIVER,))))
    open_cell = by_name(outcome)["b"]
    assert (open_cell.verdict, open_cell.waiver) == (CellVerdict.INCONCLUSIVE, None)
    assert open_cell.metrics[0].waiver == WAIVER
    assert outcome.exit_code is ExitCode.CANNOT_TELL


def test_a_waiver_without_a_bound_bears_with_any_loss(store: SqlStore) -> None:
    boundless = replace(WAIVER, bound=None)
    world = World(speeds={"b": 0.3})
    _, outcome = loop(store, world).execute(request(gate("b", waivers=(boundless,))))
    (waived,) = outcome.cells
    assert (waived.verdict, waived.waiver) == (CellVerdict.SLOWER, boundless)
    assert waived.metrics[0].margin == 0.05


def test_a_waiver_without_a_bound_claims_nothing_that_is_not_known(store: SqlStore) -> None:
    """A few blocks are enough for the waiver, and too few to say `not worse`."""
    boundless = replace(WAIVER, bound=None)
    _, outcome = loop(store, World(noise=0.2)).execute(request(gate("b", waivers=(boundless,))))
    (waived,) = outcome.cells
    assert (waived.verdict, waived.waiver) == (CellVerdict.INCONCLUSIVE, boundless)
    assert (waived.metrics[0].verdict, waived.metrics[0].margin) == (CellVerdict.INCONCLUSIVE, 0.05)
    assert outcome.exit_code is ExitCode.GOOD
    assert outcome.boots < 20


def test_only_a_waiver_for_all_metrics_and_without_a_bound_bears_with_a_crash(store: SqlStore) -> None:
    world = World(broken={("b", Arm.CANDIDATE): Outcome.CRASHED})
    for waiver, code in (
        (replace(WAIVER, bound=None), ExitCode.BAD),
        (replace(WAIVER, metrics="*"), ExitCode.BAD),
        (replace(WAIVER, metrics="*", bound=None), ExitCode.GOOD),
    ):
        _, outcome = loop(store, world).execute(request(gate("b", waivers=(waiver,))))
        assert outcome.exit_code is code
        assert outcome.cells[0].verdict is CellVerdict.FAULTY


def test_a_waiver_whose_metric_is_fine_changes_nothing(store: SqlStore) -> None:
    _, outcome = loop(store, World()).execute(request(gate("b", waivers=(WAIVER,))))
    (fine,) = outcome.cells
    assert (fine.verdict, fine.waiver) == (CellVerdict.NOT_WORSE, None)


def test_waivers_are_judged_anew_on_the_same_boots(store: SqlStore) -> None:
    """One that came after the gate had failed: nothing is booted that is stored already."""
    world = World(speeds={"b": 0.85}, kill_after=7)
    with pytest.raises(KeyboardInterrupt):
        loop(store, world).execute(request(gate("b")))
    world.kill_after = None
    stored = len(world.made)
    _, outcome = loop(store, world).execute(request(gate("b", waivers=(WAIVER,))))
    assert outcome.exit_code is ExitCode.GOOD
    assert outcome.boots == len(world.made) >= stored
    assert len(set(world.made_places)) == len(world.made)


def test_a_closed_cell_is_opened_again_where_its_waiver_went_away(tmp_path: Path) -> None:
    """Killed after a cell was closed under a waiver that is gone now: the boots that it lacks are made."""
    speeds = {"b": 0.945}
    for boots in range(4, 60, 2):
        with SqlStore(tmp_path / f"{boots}.sqlite") as store:
            world = World(speeds=speeds, noises={"a": 0.2}, kill_after=boots)
            with pytest.raises(KeyboardInterrupt):
                loop(store, world).execute(request(gate("a", "b", waivers=(replace(WAIVER, bound=1.0),))))
            cells = store.matrices.cells(store.run("last").id)
            if "b" not in cells or store.run(cells["b"]).state is not RunState.FINISHED:
                continue
            before = world.order.count("b")
            world.kill_after = None
            _, outcome = loop(store, world).execute(request(gate("a", "b")))
            assert world.order.count("b") > before
            assert len(set(world.made_places)) == len(world.made)
            assert outcome.cells[1].boots == world.order.count("b") == len(store.run(cells["b"]).trials)
            assert store.run(cells["b"]).state is RunState.FINISHED
            return
    pytest.fail("no cell was closed before the other")


def test_what_counts_nowhere_is_refused_with_the_cell(store: SqlStore) -> None:
    bad = GatePolicy(margins={"nothing_like_it": 0.05})
    with pytest.raises(ConfigError, match="cell a: no metric"):
        loop(store, World()).execute(request(gate("a", policy=bad)))


def test_a_decision_is_stored_with_each_cell(store: SqlStore) -> None:
    run, _ = loop(store, World(speeds={"b": 0.8})).execute(request(gate("a", "b")))
    cells = store.matrices.cells(run.id)
    assert store.decision(cells["b"]).verdict is Verdict.SLOWER  # type: ignore[union-attr]
    cleared = store.decision(cells["a"])
    assert cleared is not None
    assert cleared.final
    assert "write_iops" in cleared.comparisons
