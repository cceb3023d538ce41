"""The search loop over a real store: both edges, skips, crashes, kills at any moment, like ends, cap."""

import math
import random
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from factories import failed, named
from ladders import BOTH, LAST, VERSIONS, World, edges, kernel, loop, on, plan, request

from harness.errors import ConfigError, ExitCode, HostError, NoKernelError
from harness.model.bisection import (
    Answer,
    EdgeKind,
    EdgeWish,
    Mark,
)
from harness.model.experiment import Experiment, TrialSpec
from harness.model.kernel import Kernel
from harness.model.run import Run, RunState, SubrunRole
from harness.model.trial import Outcome, Trial
from harness.report.search.reasons import view_reason
from harness.store import SqlStore

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


def boots_of(store: SqlStore, run: Run) -> int:
    parts = [store.run(part.run_id) for part in store.bisections.subruns(run.id)]
    return len(run.trials) + sum(len(part.trials) for part in parts)


def test_finds_both_edges_and_proves_them(store: SqlStore) -> None:
    world = World()
    search = loop(store, world)
    run, outcome = search.execute(request())
    assert outcome.answer is Answer.FOUND, outcome.reason
    assert edges(outcome) == BOTH
    assert outcome.metric == "queue_depth"
    assert all(edge.proven for edge in outcome.edges)
    assert outcome.edges[1].suspects[0].change.subject == "btrfs: don't force DIO writes to be serialized"
    stored = store.run(run.id)
    assert stored.state is RunState.FINISHED
    assert store.bisections.outcome(run.id) == outcome
    assert [part.role for part in store.bisections.subruns(run.id)] == [
        SubrunRole.ENDS,
        SubrunRole.PROOF,
        SubrunRole.PROOF,
    ]
    assert len(world.made) == boots_of(store, run)
    assert len(world.made) <= 36
    views = search.ab.runner.progress.views
    assert views[-1].strip[:2] == "FS"
    assert all(view_reason(view) for view in views if view.next is not None)


@pytest.mark.parametrize("pair", [(3, 4), (1, 19), (9, 12), (5, 17)])
def test_both_edges_wherever_they_are(store: SqlStore, pair: tuple[int, int]) -> None:
    _, outcome = loop(store, World(edges=pair)).execute(request())
    assert edges(outcome) == [(pair[0] - 1, pair[0], EdgeKind.REMOVED), (pair[1] - 1, pair[1], EdgeKind.RESTORED)]
    assert outcome.answer is Answer.FOUND


@pytest.mark.parametrize("edge", [1, 8, 19])
def test_one_edge_between_ends_that_differ(store: SqlStore, edge: int) -> None:
    run, outcome = loop(store, World(edges=(edge,), newest=1.0)).execute(request())
    assert edges(outcome) == [(edge - 1, edge, EdgeKind.REMOVED)]
    assert outcome.answer is Answer.FOUND
    assert boots_of(store, run) <= 28


def test_like_ends_with_nothing_between_them(store: SqlStore) -> None:
    run, outcome = loop(store, World(edges=(LAST + 1,), newest=1.0)).execute(request())
    assert outcome.answer is Answer.NOTHING
    assert outcome.edges == ()
    assert 0 < outcome.missed <= 0.1
    assert "has been missed with probability" in outcome.reason
    assert len(run.trials) <= 22


def test_like_ends_of_a_noisy_metric_with_nothing_between_them(store: SqlStore) -> None:
    run, outcome = loop(store, World(edges=(LAST + 1,), newest=1.0)).execute(request(metric="write_iops"))
    assert outcome.answer is Answer.NOTHING, outcome.reason
    assert 0 < outcome.missed <= 0.1
    # Boots differ by 15 %: what is as small as the margin cannot be told from that.
    assert re.search(r"differs from the ends by less than [1-4]\d %", outcome.reason)
    assert len(run.trials) < 40


@pytest.mark.parametrize("triple", [(10, 13, 14), (4, 9, 15), (2, 6, 8)])
def test_a_stretch_beside_the_edge_that_the_ends_show(store: SqlStore, triple: tuple[int, int, int]) -> None:
    _, outcome = loop(store, World(edges=triple, newest=1.0)).execute(request())
    assert [edge.after for edge in outcome.edges] == list(triple)
    assert outcome.answer is Answer.FOUND
    assert outcome.missed == 0


def test_an_edge_proven_at_the_cap_is_an_edge(store: SqlStore) -> None:
    run, outcome = loop(store, World(edges=(8,), newest=1.0)).execute(request(max_boots=14))
    assert edges(outcome) == [(7, 8, EdgeKind.REMOVED)]
    assert outcome.answer is Answer.FOUND
    assert outcome.missed > 0.1
    assert "further stretches between the ends were not looked for" in outcome.reason
    assert "the cap of 14 boots is reached" in outcome.reason
    assert len(run.trials) == 6
    assert store.run(run.id).state is RunState.FINISHED


def test_a_named_noisy_metric_takes_more_boots_and_finds_the_same(store: SqlStore) -> None:
    run, outcome = loop(store, World()).execute(request(metric="write_iops"))
    assert edges(outcome) == BOTH
    assert outcome.metric == "write_iops"
    assert boots_of(store, run) > 30


@pytest.mark.parametrize("kill_after", [0, 1, 7, 8, 9, 13, 17, 18, 24, 25, 28])
def test_killed_at_any_moment_it_goes_on_as_if_it_had_not_been(store: SqlStore, tmp_path: Path, kill_after) -> None:
    with SqlStore(tmp_path / "unbroken.sqlite") as other:
        whole, unbroken = World(), loop(other, World())
        unbroken = loop(other, whole)
        _, expected = unbroken.execute(request())
    world = World(kill_after=kill_after)
    with pytest.raises(KeyboardInterrupt):
        loop(store, world).execute(request())
    world.kill_after = None
    run, outcome = loop(store, world).execute(request())
    assert edges(outcome) == edges(expected)
    assert outcome.answer is Answer.FOUND
    # Not one boot lost, not one made twice.
    assert [one[0] for one in world.made] == [one[0] for one in whole.made]
    assert len({part.run_id for part in store.bisections.subruns(run.id)}) == 3


def test_killed_again_and_again(store: SqlStore) -> None:
    whole = World()
    world = World(kill_after=0)
    for _ in range(200):
        try:
            _, outcome = loop(store, world).execute(request())
            break
        except KeyboardInterrupt:
            world.kill_after = len(world.made) + 1
    with SqlStore(":memory:") as other:
        loop(other, whole).execute(request())
    assert edges(outcome) == BOTH
    assert [one[0] for one in world.made] == [one[0] for one in whole.made]


@pytest.mark.parametrize(
    "outcome_there",
    [Outcome.BOOT_FAILED, Outcome.CRASHED, Outcome.HUNG, Outcome.CORRUPTED, Outcome.USERSPACE_DIED],
)
def test_kernels_that_fail_are_skipped_and_their_failure_kept(store: SqlStore, outcome_there: Outcome) -> None:
    world = World(dead={12: outcome_there, 15: outcome_there})
    run, outcome = loop(store, world).execute(request())
    assert edges(outcome) == [(0, 1, EdgeKind.REMOVED), (14, 16, EdgeKind.RESTORED)]
    failures = [trial for trial in run.trials if trial.outcome is outcome_there and trial.place.rung == 12]
    assert len(failures) == (1 if outcome_there is Outcome.CORRUPTED else 2)
    assert store.artifact(run.id, failures[0].spec, "console.log")


def test_all_inner_kernels_fail(store: SqlStore) -> None:
    world = World(edges=(9,), newest=1.0, dead=dict.fromkeys(range(1, LAST), Outcome.CORRUPTED))
    _, outcome = loop(store, world).execute(request())
    assert edges(outcome) == [(0, LAST, EdgeKind.REMOVED)]
    assert outcome.answer is Answer.FOUND


def test_a_crash_may_be_the_symptom(store: SqlStore) -> None:
    world = World(edges=(LAST + 1,), newest=1.0, dead=dict.fromkeys(range(8, LAST + 1), Outcome.CRASHED))
    _, outcome = loop(store, world).execute(request(plan=plan(crash_is_slow=True)))
    assert edges(outcome) == [(7, 8, EdgeKind.REMOVED)]
    assert outcome.answer is Answer.FOUND


@pytest.mark.parametrize("outcome_there", [Outcome.USERSPACE_DIED, Outcome.WORKLOAD_FAILED])
def test_a_guest_whose_programs_die_is_no_symptom(store: SqlStore, outcome_there: Outcome) -> None:
    world = World(edges=(LAST + 1,), newest=1.0, dead=dict.fromkeys(range(8, LAST + 1), outcome_there))
    _, outcome = loop(store, world).execute(request(plan=plan(crash_is_slow=True)))
    assert outcome.answer is not Answer.FOUND
    assert edges(outcome) == []


def test_an_end_that_crashes_cannot_be_searched_from(store: SqlStore) -> None:
    run, outcome = loop(store, World(dead={LAST: Outcome.CRASHED})).execute(request())
    assert outcome.answer is Answer.UNCERTAIN
    assert "crashed in 2 of 2 boots" in outcome.reason
    assert run.trials == ()


def test_lost_boots_are_made_again_and_end_in_host_trouble(store: SqlStore) -> None:
    world = World()

    def losing(asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        if len(world.made) >= 8:
            return replace(failed(spec, Outcome.LOST, "QEMU was killed"), kernel_digest=booted.digest)
        return world(asked, spec, booted)

    with pytest.raises(HostError, match="QEMU was killed"):
        loop(store, losing).execute(request())
    run, outcome = loop(store, world).execute(request())
    assert edges(outcome) == BOTH
    assert [trial.outcome for trial in run.trials].count(Outcome.LOST) == 3


def test_the_cap_leaves_it_open_and_a_higher_one_goes_on(store: SqlStore) -> None:
    world = World()
    run, outcome = loop(store, world).execute(request(max_boots=11))
    assert outcome.answer is Answer.UNCERTAIN
    assert "cap of 11 boots" in outcome.reason
    assert len(run.trials) == 3
    assert store.run(run.id).state is RunState.OPEN
    again, outcome = loop(store, world).execute(request())
    assert again.id == run.id
    assert edges(outcome) == BOTH


def test_another_ladder_is_another_search(store: SqlStore) -> None:
    run, _ = loop(store, World()).execute(request(max_boots=9))
    other, _ = loop(store, World()).execute(request(max_boots=9, plan=plan(confidence=0.95)))
    assert other.id != run.id


@pytest.mark.parametrize(
    ("wish", "found"), [(EdgeWish.REMOVED, BOTH[:1]), (EdgeWish.RESTORED, BOTH[1:]), (EdgeWish.BOTH, BOTH)]
)
def test_only_edges_wished_for_are_proven(store: SqlStore, wish: EdgeWish, found) -> None:
    run, outcome = loop(store, World()).execute(request(plan=plan(edges=wish)))
    assert edges(outcome) == found
    assert len(store.bisections.subruns(run.id)) == 1 + len(found)


def test_a_kernel_that_is_no_longer_to_be_had_is_skipped(store: SqlStore) -> None:
    def gone(spec: str) -> Kernel:
        if spec == f"debian:{VERSIONS[12]}":
            raise NoKernelError("no such kernel any more")
        return kernel(spec)

    run, outcome = loop(store, World(), gone).execute(request())
    assert edges(outcome) == BOTH
    assert [(mark.rung, mark.reason) for mark in store.bisections.marks(run.id)] == [(12, "no such kernel any more")]


def test_what_the_host_has_lost_stops_the_search_and_skips_nothing(store: SqlStore) -> None:
    lost = True

    def resolve(spec: str) -> Kernel:
        if lost and spec == f"debian:{VERSIONS[12]}":
            raise ConfigError("the builder /b is not an executable file", remedy="chmod +x it.")
        return kernel(spec)

    world = World()
    with pytest.raises(
        HostError, match=r"6\.16\.3-1: the builder /b is not an executable(.|\n)*the same command"
    ) as told:
        loop(store, world, resolve).execute(request())
    assert told.value.exit_code is ExitCode.HOST
    (run,) = [run for run in store.runs() if run.verb == "bisect"]
    assert run.state is RunState.OPEN
    assert store.bisections.marks(run.id) == ()
    lost = False
    again, outcome = loop(store, world, resolve).execute(request())
    assert again.id == run.id
    assert edges(outcome) == BOTH
    # What was booted before is not booted again.
    assert len({name for name, _ in world.made}) == len(world.made)
    assert 12 in {rung for _, rung in world.made}


def test_a_skip_by_hand_counts_from_the_next_boot_on(store: SqlStore) -> None:
    run, _ = loop(store, World()).execute(request(max_boots=8))
    store.bisections.add_mark(run.id, Mark(rung=1, skip=True, reason="by hand"))
    world = World()
    run, outcome = loop(store, world).execute(request())
    assert edges(outcome) == [(0, 2, EdgeKind.REMOVED), BOTH[1]]
    assert 1 not in {rung for _, rung in world.made}


def test_a_proof_that_contradicts_is_what_counts(store: SqlStore) -> None:
    world = World()

    def liar(asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        trial = world(asked, spec, booted)
        if asked.metric == "queue_depth" and asked.baseline == f"debian:{VERSIONS[15]}":
            rng = random.Random(named(spec))
            return replace(trial, samples={"queue_depth": (2.0 * math.exp(rng.gauss(0, 0.004)),)})
        return trial

    _, outcome = loop(store, liar).execute(request())
    assert outcome.answer is Answer.UNPROVEN
    assert outcome.edges[0].proven
    assert not outcome.edges[-1].proven


def test_two_processes_do_not_work_on_one_search(store: SqlStore) -> None:
    asked = request()

    def held(digest: str) -> AbstractContextManager[object]:
        assert digest == asked.digest
        raise HostError("another kab works on this very experiment")

    search = loop(store, World())
    with pytest.raises(HostError, match="another kab"):
        on(search, exclusive=held).execute(asked)
    assert store.runs() == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("rungs", "found"),
    [
        ((0, 1), [(0, 1, EdgeKind.REMOVED)]),
        ((1, 2), []),
        ((0, 1, 2), [(0, 1, EdgeKind.REMOVED)]),
        ((0, 5, 17), [(0, 1, EdgeKind.REMOVED), (1, 2, EdgeKind.RESTORED)]),
        ((0, 5, 17, 19), [(0, 1, EdgeKind.REMOVED), (1, 2, EdgeKind.RESTORED)]),
    ],
)
def test_ladders_of_few_kernels(store: SqlStore, rungs: tuple[int, ...], found) -> None:
    short = replace(plan(), rungs=tuple(plan().rungs[rung] for rung in rungs))
    first, last = (kernel(short.rungs[end].spec) for end in (0, -1))
    _, outcome = loop(store, World()).execute(request(plan=short, first=first, last=last))
    assert edges(outcome) == found
    assert outcome.answer is (Answer.FOUND if found else Answer.NOTHING)
