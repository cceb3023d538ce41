"""The loop over a matrix: cells that fail stop no others, a host that is gone does, and what is stored goes on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cellworlds import Watching, World, cell, loop, plan, request

from harness.errors import BuildError, ConfigError, ExitCode, HostError, NoKernelError
from harness.model.experiment import Arm
from harness.model.matrix import CellVerdict, Ending, FailKind, GatePolicy, MatrixOutcome, Waiver
from harness.model.run import Parent, RunState, SubrunRole
from harness.model.trial import Outcome
from harness.model.verdict import Verdict
from harness.run.cellresults import not_there, unmeasured
from harness.store import SqlStore

pytestmark = pytest.mark.unit

LOST = HostError("QEMU went away", remedy="See `kab doctor`.")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


def verdicts(outcome: MatrixOutcome) -> list[str]:
    return [str(result.verdict) for result in outcome.cells]


def test_each_cell_is_a_plain_comparison_and_a_part_of_the_matrix(store: SqlStore) -> None:
    world, told = World(speeds={"b": 0.7, "c": 1.4}), Watching()
    run, outcome = loop(store, world, told).execute(request(plan("a", "b", "c")))
    assert verdicts(outcome) == ["same", "slower", "faster"]
    assert outcome.exit_code is ExitCode.BAD
    assert outcome.ending is Ending.DONE
    assert run.state is RunState.FINISHED
    assert store.matrices.outcome(run.id) == outcome
    assert outcome.boots == len(world.made)
    assert outcome.duration_s == 20.0 * outcome.boots
    assert world.order == sorted(world.order), "one after the other"
    cells = store.matrices.cells(run.id)
    assert list(cells) == ["a", "b", "c"]
    for result in outcome.cells:
        made = store.run(cells[result.cell])
        assert result.run_id == made.id
        assert made.parent == Parent(run_id=run.id, role=SubrunRole.CELL, place=result.cell)
        assert made.command == ("kab", "ab", result.cell)
        assert [metric.metric for metric in result.metrics] == ["write_iops"]
    assert store.decision(cells["b"]).verdict is Verdict.SLOWER  # type: ignore[union-attr]
    assert told.finished == list(outcome.cells)
    assert store.run("last").id == run.id, "cells are no runs of their own"


@pytest.mark.parametrize("boots", range(0, 26, 3))
def test_a_killed_matrix_goes_on_at_any_boot(store: SqlStore, boots: int, tmp_path: Path) -> None:
    names = ("a", "b", "c")
    speeds = {"b": 0.7, "c": 1.4}
    with SqlStore(tmp_path / "whole.sqlite") as other:
        whole = World(speeds=speeds)
        _, wanted = loop(other, whole).execute(request(plan(*names)))
    world = World(speeds=speeds, kill_after=boots)
    if boots < len(whole.made):
        with pytest.raises(KeyboardInterrupt):
            loop(store, world).execute(request(plan(*names)))
        assert store.run("last").state is RunState.OPEN
    world.kill_after = None
    run, outcome = loop(store, world).execute(request(plan(*names)))
    assert world.made == whole.made, "nothing is lost, doubled or moved"
    assert verdicts(outcome) == verdicts(wanted)
    assert len([one for one in store.runs() if one.parent is None]) == 1
    assert sum(len(store.run(one).trials) for one in store.matrices.cells(run.id).values()) == len(world.made)


def test_a_finished_one_is_measured_anew_and_an_open_one_where_it_is_asked_for(store: SqlStore) -> None:
    first, _ = loop(store, World()).execute(request(plan("a")))
    second, _ = loop(store, World()).execute(request(plan("a")))
    assert second.id != first.id
    with pytest.raises(KeyboardInterrupt):
        loop(store, World(kill_after=1)).execute(request(plan("a")))
    opened = store.run("last")
    anew, _ = loop(store, World()).execute(request(plan("a"), fresh=True))
    assert anew.id != opened.id
    assert store.run(opened.id).state is RunState.OPEN


@pytest.mark.parametrize(
    "changed",
    [
        request(plan("a"), verb="nightly"),
        request(plan("a", title="another")),
        request(plan("a", "b")),
        request(plan("a"), seed=8),
        request(plan("a"), conditions={"accelerator": "tcg"}),
        request(plan("a", cells=(cell("a", margin=0.1),))),
        request(plan("a", cells=(replace(cell("a"), name="b"),))),
    ],
)
def test_another_matrix_does_not_continue_it(store: SqlStore, changed: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop(store, World(kill_after=1)).execute(request(plan("a")))
    opened = store.run("last")
    run, _ = loop(store, World()).execute(changed)  # type: ignore[arg-type]
    assert run.id != opened.id


def test_other_waivers_continue_it_and_are_stored(store: SqlStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop(store, World(kill_after=1)).execute(request(plan("a")))
    opened = store.run("last")
    waiver = Waiver(cells="a", metrics="*", bound=0.1, owner="me", reason="known", until_version="7.3")
    run, _ = loop(store, World()).execute(request(plan("a", waivers=(waiver,))))
    assert run.id == opened.id
    stored = store.matrices.plan(run.id)
    assert stored is not None
    assert stored.waivers == (waiver,)


def test_cells_that_measure_the_same_are_two(store: SqlStore) -> None:
    """One of them is open when the other begins."""
    twins = plan("a", cells=(cell("a"), replace(cell("a"), name="again"), cell("c")))
    world = World(kill_after=3)
    with pytest.raises(KeyboardInterrupt):
        loop(store, world).execute(request(twins))
    world.kill_after = None
    run, outcome = loop(store, world).execute(request(twins))
    assert verdicts(outcome) == ["same"] * 3
    assert len(set(store.matrices.cells(run.id).values())) == 3


def test_kernels_that_fail_are_the_cells_verdict_and_nobody_elses(store: SqlStore) -> None:
    world = World(
        broken={
            ("a", Arm.CANDIDATE): Outcome.CRASHED,
            ("b", Arm.CANDIDATE): Outcome.CORRUPTED,
            ("c", Arm.BASELINE): Outcome.BOOT_FAILED,
        }
    )
    _, outcome = loop(store, world).execute(request(plan("a", "b", "c", "d")))
    crashed, corrupted, nothing, fine = outcome.cells
    assert (crashed.verdict, crashed.fails) == (CellVerdict.FAULTY, (FailKind.FAULT,))
    assert "the candidate crashed" in crashed.reason
    assert (corrupted.verdict, corrupted.fails) == (CellVerdict.FAULTY, (FailKind.DATA,))
    # Against a baseline that fails nothing can be measured.
    assert (nothing.verdict, nothing.fails) == (CellVerdict.INCONCLUSIVE, ())
    assert fine.verdict is CellVerdict.SAME
    assert outcome.exit_code is ExitCode.BAD


def test_a_kernel_that_cannot_be_had_takes_only_its_cells(store: SqlStore) -> None:
    gone, away, broken = cell("gone"), cell("away"), cell("broken")
    results = {
        "gone": unmeasured(gone, NoKernelError("no suite offers it any more\nlist of suites")),
        "away": unmeasured(away, HostError("the mirror does not answer")),
        "broken": not_there(broken, Arm.CANDIDATE, BuildError("cc1: error"), baseline=None, candidate=None),
        "base": not_there(cell("base"), Arm.BASELINE, BuildError("cc1: error"), baseline=None, candidate=None),
    }
    told = Watching()
    names = ("gone", "away", "broken", "base", "a")
    run, outcome = loop(store, World(), told).execute(request(plan(*names), results=results))
    assert verdicts(outcome) == ["unmeasured", "unmeasured", "faulty", "inconclusive", "same"]
    assert outcome.cells[0].reason == "no suite offers it any more"
    assert [result.exit_code for result in outcome.cells] == [129, 131, 1, 125, 0]
    assert set(store.matrices.cells(run.id)) == {"a"}
    assert {result.cell for result in told.finished} == set(names)


def test_a_cell_that_the_host_takes_is_unmeasured_and_its_run_is_closed(store: SqlStore) -> None:
    world, told = World(raising={"b": LOST}), Watching()
    run, outcome = loop(store, world, told).execute(request(plan("a", "b", "c")))
    assert verdicts(outcome) == ["same", "unmeasured", "same"]
    assert outcome.exit_code is ExitCode.HOST
    lost = outcome.cells[1]
    assert (lost.trouble, lost.reason) == (ExitCode.HOST, "QEMU went away")
    assert lost.candidate is not None
    made = store.run(store.matrices.cells(run.id)["b"])
    assert lost.run_id == made.id
    assert made.state is RunState.FINISHED
    assert "QEMU went away" in store.decision(made.id).reason  # type: ignore[union-attr]
    assert any("QEMU went away" in note for note in told.notes)


def test_boots_lost_again_and_again_are_the_hosts_trouble_too(store: SqlStore) -> None:
    world = World(broken={("b", arm): Outcome.LOST for arm in Arm})
    _, outcome = loop(store, world).execute(request(plan("a", "b", "c")))
    assert verdicts(outcome) == ["same", "unmeasured", "same"]
    assert outcome.cells[1].boots == 3
    assert "3 boots in a row were lost" in outcome.cells[1].reason


def test_a_host_that_is_gone_stops_the_run_which_stays_open(store: SqlStore) -> None:
    world = World(raising={"b": LOST, "c": LOST})
    with pytest.raises(HostError, match="2 cells in a row were lost, the last of them c: QEMU") as told:
        loop(store, world).execute(request(plan("a", "b", "c", "d")))
    assert "the same command continues" in told.value.remedy
    assert "d" not in world.order
    opened = store.run("last")
    assert opened.state is RunState.OPEN
    done = len(world.made)
    world.raising.clear()
    run, outcome = loop(store, world).execute(request(plan("a", "b", "c", "d")))
    assert run.id == opened.id
    assert verdicts(outcome) == ["same"] * 4
    assert "a" not in world.order[done:], "what was measured is measured"


def test_cells_lost_with_measured_ones_between_them_do_not_stop_it(store: SqlStore) -> None:
    world = World(raising={"a": LOST, "c": LOST})
    _, outcome = loop(store, world).execute(request(plan("a", "b", "c", "d")))
    assert verdicts(outcome) == ["unmeasured", "same", "unmeasured", "same"]


def test_a_host_that_takes_the_only_cell_is_gone(store: SqlStore) -> None:
    with pytest.raises(HostError, match="QEMU went away"):
        loop(store, World(raising={"a": LOST})).execute(request(plan("a")))
    assert store.run("last").state is RunState.OPEN


def test_a_store_that_fails_stops_it_at_once(store: SqlStore) -> None:
    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(store.matrices, name)

        def cells(self, _run_id: str) -> dict[str, str]:
            if world.order:
                raise HostError("the database does not answer")
            return {}

    world = World(raising={"b": LOST})
    with pytest.raises(HostError, match="the database does not answer"):
        replace(loop(store, world), matrices=Failing()).execute(request(plan("a", "b", "c")))
    assert "c" not in world.order


def test_what_the_user_must_mend_in_one_cell_stops_no_other(store: SqlStore) -> None:
    world = World(raising={"a": ConfigError("the templates were changed")})
    run, outcome = loop(store, world).execute(request(plan("a", "b")))
    assert verdicts(outcome) == ["unmeasured", "same"]
    assert outcome.cells[0].trouble is ExitCode.USAGE
    assert store.run(store.matrices.cells(run.id)["a"]).state is RunState.FINISHED


def test_a_cell_whose_job_has_changed_is_not_begun(store: SqlStore) -> None:
    made = loop(store, World())

    def ab_of(asked: object) -> object:
        if asked.cell.name == "a":  # type: ignore[attr-defined]
            raise ConfigError("the templates were changed")
        return made.ab_of(asked)  # type: ignore[arg-type]

    run, outcome = replace(made, ab_of=ab_of).execute(request(plan("a", "b")))
    assert verdicts(outcome) == ["unmeasured", "same"]
    assert set(store.matrices.cells(run.id)) == {"b"}


def test_one_seed_tells_those_of_all_cells(store: SqlStore) -> None:
    seeds = []
    for seed in (5, 5, 6):
        run, _ = loop(store, World()).execute(request(plan("a", "b"), seed=seed))
        assert run.seed == seed
        cells = store.matrices.cells(run.id)
        seeds.append([store.run(cells[name]).seed for name in ("a", "b")])
    assert seeds[0] == seeds[1]
    assert len({*seeds[0], *seeds[2]}) == 4
    own = plan("a", cells=(cell("a", seed=3),))
    run, _ = loop(store, World()).execute(request(own, seed=None))
    assert store.run(store.matrices.cells(run.id)["a"]).seed == 3


class FullDisk:
    """A store whose disk is full after so many boots, until somebody makes room."""

    def __init__(self, store: SqlStore, boots: int) -> None:
        self._store = store
        self.room: float = boots

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def append_trial(self, *asked: object) -> None:
        if self.room <= 0:
            raise HostError("the results database cannot grow: its disk is full", remedy="Make room there.")
        self.room -= 1
        self._store.append_trial(*asked)  # type: ignore[arg-type]

    def create_run(self, run: object) -> None:
        if self.room <= 0:
            raise HostError("the results database cannot grow: its disk is full", remedy="Make room there.")
        self._store.create_run(run)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", [None, GatePolicy()])
@pytest.mark.parametrize("boots", [3, 11])
def test_a_disk_that_fills_up_stops_it_and_loses_the_boot_in_flight_only(
    store: SqlStore, policy: GatePolicy | None, boots: int
) -> None:
    world, full = World(), FullDisk(store, boots)
    asked = request(plan("a", "b", "c", policy=policy))
    with pytest.raises(HostError, match="its disk is full") as told:
        loop(full, world).execute(asked)  # type: ignore[arg-type]
    assert "the same command continues" in told.value.remedy
    opened = store.run("last")
    assert opened.state is RunState.OPEN
    assert len(world.made) <= boots + 2, "no boot is made that cannot be kept"
    full.room = float("inf")
    run, outcome = loop(full, world).execute(asked)  # type: ignore[arg-type]
    assert run.id == opened.id
    assert outcome.exit_code is ExitCode.GOOD
    cells = store.matrices.cells(run.id)
    assert outcome.boots == sum(len(store.run(one).trials) for one in cells.values()) <= len(world.made)
    assert len(set(world.made_places)) == outcome.boots
