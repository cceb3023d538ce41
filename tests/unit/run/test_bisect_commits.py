"""The search loop over a line of commits: builds that fail, twins, build fixes, culprits undone at the far end."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from factories import named
from ladders import FAST, NOISE, SLOW, loop, request

from harness.errors import BuildError, DoesNotApplyError, NoKernelError
from harness.model.bisection import Answer, BisectionPlan, EdgeKind, FoundEdge, PlannedRung
from harness.model.experiment import Experiment, TrialSpec
from harness.model.kernel import Kernel
from harness.model.run import Run, SubrunRole
from harness.model.source import Commit, OperationKind
from harness.model.trial import Outcome, Trial
from harness.parse.gitspec import with_operation
from harness.run.bisect import BisectLoop, BisectRequest
from harness.store import SqlStore

pytestmark = pytest.mark.unit

COMMITS = 64
REMOVED, RESTORED = 20, 47


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


def sha(number: int) -> str:
    return f"{number:040x}"


def spec_of(number: int) -> str:
    return f"git:linux@{sha(number)}"


def line(**changes: object) -> BisectionPlan:
    rungs = tuple(
        PlannedRung(
            spec=spec_of(number),
            release=f"7.2.0-g{sha(number)[-12:]}",
            version="7.2.0",
            weight=1.0,
            commit=Commit(
                sha=sha(number),
                parents=(sha(number - 1),),
                tree=sha(1000 + number),
                title=f"btrfs: change {number}",
                author="A. Developer",
                email="a@example.org",
                date="2026-01-01T00:00:00+00:00",
            ),
        )
        for number in range(COMMITS)
    )
    return BisectionPlan(**{"rungs": rungs, **changes})


@dataclass
class Tree:
    """A source tree: which commits build, which change no code, what applies."""

    edges: tuple[int, ...] = (REMOVED, RESTORED)
    broken: frozenset[int] = frozenset()
    # Commits whose code is that of the commit before.
    comments: frozenset[int] = frozenset()
    fix: str = ""
    applies: bool = True
    # Whether the configuration can be met with a change undone or applied.
    configures: bool = True
    # What a revert on top brings back.
    culprit_matters: bool = True
    built: list[str] = field(default_factory=list)
    booted: list[str] = field(default_factory=list)

    def resolve(self, spec: str) -> Kernel:
        base, *operations = spec.removeprefix("git:linux@").split("+")
        number = int(base, 16)
        kinds = [operation.partition("=")[0] for operation in operations]
        if number in self.broken and not (self.fix and f"pick={self.fix}" in operations):
            raise BuildError("fs/btrfs/file.c:12:2: error: expected ';'", log="the whole log")
        if not self.applies and ("revert" in kinds or "pick" in kinds):
            raise DoesNotApplyError(f"{operations[-1]} does not apply to {base[-12:]}: fs/btrfs/super.c")
        if not self.configures and kinds:
            raise NoKernelError("the configuration cannot be met; kconfig lost of it:\n  BTRFS_FS=y")
        self.built.append(spec)
        code = number
        while code in self.comments:
            code -= 1
        slow = sum(edge <= number for edge in self.edges) % 2 == 1
        undone = "revert" in kinds or f"pick={sha(RESTORED)}" in operations
        if undone and self.culprit_matters:
            slow = False
        return Kernel(
            spec=spec,
            release="7.2.0",
            version="7.2.0",
            source="git",
            digest=f"{code}{'undone' if undone else ''}-{'slow' if slow else 'fast'}",
            directory=Path("/nonexistent"),
            vmlinuz=Path("/nonexistent/vmlinuz"),
        )

    def boot(self, asked: Experiment, spec: TrialSpec, kernel: Kernel) -> Trial:
        self.booted.append(kernel.spec)
        rng = random.Random(f"{named(spec)} {asked.baseline} {asked.candidate}")
        samples = {}
        for name, value in (SLOW if kernel.digest.endswith("slow") else FAST).items():
            found = value * math.exp(NOISE[name] * rng.gauss(0, 1))
            samples[name] = (found, found * 1.01, found * 0.99)
        return Trial(spec=spec, kernel_digest=kernel.digest, outcome=Outcome.OK, samples=samples, duration_s=20.0)

    def search(self, store: SqlStore) -> BisectLoop:
        return replace(loop(store, self.boot, self.resolve), counter=counter)

    def asked(self, **changes: object) -> BisectRequest:
        plan = line(**changes)
        return replace(
            request(plan=plan), first=self.resolve(plan.rungs[0].spec), last=self.resolve(plan.rungs[-1].spec)
        )


def counter(plan: BisectionPlan, edge: FoundEdge, far: int) -> str:
    culprit = plan.rungs[edge.after].commit
    assert culprit is not None
    kind = OperationKind.REVERT if edge.kind is EdgeKind.REMOVED else OperationKind.PICK
    return with_operation(plan.rungs[far].spec, kind, culprit.sha)


def parts(store: SqlStore, run: Run) -> list[tuple[SubrunRole, int, int]]:
    return [(part.role, part.before, part.after) for part in store.bisections.subruns(run.id)]


def test_both_commits_are_named_proven_and_undone(store: SqlStore) -> None:
    tree = Tree()
    run, outcome = tree.search(store).execute(tree.asked())
    assert outcome.answer is Answer.FOUND, outcome.reason
    removed, restored = outcome.edges
    assert removed.culprit is not None
    assert removed.culprit.sha == sha(REMOVED)
    assert restored.culprit is not None
    assert restored.culprit.sha == sha(RESTORED)
    assert parts(store, run) == [
        (SubrunRole.ENDS, 0, COMMITS - 1),
        (SubrunRole.PROOF, REMOVED - 1, REMOVED),
        (SubrunRole.PROOF, RESTORED - 1, RESTORED),
        # The last slow commit with the removing one reverted, the first slow one with the restoring one applied.
        (SubrunRole.REVERT_TEST, RESTORED - 1, REMOVED),
        (SubrunRole.REVERT_TEST, REMOVED, RESTORED),
    ]
    assert removed.revert_test is not None
    assert removed.revert_test.kind is OperationKind.REVERT
    assert removed.revert_test.spec == f"{spec_of(RESTORED - 1)}+revert={sha(REMOVED)}"
    assert removed.revert_test.holds
    assert restored.revert_test is not None
    assert restored.revert_test.spec == f"{spec_of(REMOVED)}+pick={sha(RESTORED)}"
    assert restored.revert_test.holds
    assert removed.suspects == ()
    assert store.bisections.outcome(run.id) == outcome


def test_a_commit_that_changes_no_code_costs_no_boot_and_is_no_culprit(store: SqlStore) -> None:
    # The commit after the removing one and half of all others are comments only.
    comments = frozenset(number for number in range(1, COMMITS - 1) if number % 2 or number == REMOVED + 1) - {RESTORED}
    tree = Tree(comments=comments)
    run, outcome = tree.search(store).execute(tree.asked())
    assert [edge.culprit and edge.culprit.sha for edge in outcome.edges] == [sha(REMOVED), sha(RESTORED)]
    twins = store.bisections.identical_builds(run.id)
    assert twins
    assert {twin.rung for twin in twins}.isdisjoint(trial.place.rung for trial in run.trials)


def test_commits_that_do_not_build_are_skipped_with_their_log(store: SqlStore) -> None:
    tree = Tree(broken=frozenset({REMOVED - 1, 31, 32, 40}))
    run, outcome = tree.search(store).execute(tree.asked())
    removed, restored = outcome.edges
    assert (removed.before, removed.after) == (REMOVED - 2, REMOVED)
    # Two commits may be it: none is accused.
    assert removed.culprit is None
    assert removed.revert_test is None
    assert restored.culprit is not None
    failed = [trial for trial in run.trials if trial.outcome is Outcome.BUILD_FAILED]
    assert failed
    assert store.artifact(run.id, failed[0].spec, "build.log") == b"the whole log"
    assert all(trial.place.rung in tree.broken for trial in failed)
    # Once is enough.
    assert len({trial.place.rung for trial in failed}) == len(failed)


def test_a_build_fix_bridges_what_does_not_build(store: SqlStore) -> None:
    tree = Tree(broken=frozenset(range(REMOVED - 4, REMOVED)), fix=sha(60))
    run, outcome = tree.search(store).execute(tree.asked(build_fixes=(sha(60),)))
    assert [edge.culprit and edge.culprit.sha for edge in outcome.edges] == [sha(REMOVED), sha(RESTORED)]
    assert f"{spec_of(REMOVED - 1)}+pick={sha(60)}" in tree.built
    assert all(trial.outcome is Outcome.OK for trial in run.trials)


def test_a_revert_that_does_not_apply_is_said(store: SqlStore) -> None:
    tree = Tree(applies=False)
    _, outcome = tree.search(store).execute(tree.asked())
    assert outcome.answer is Answer.FOUND
    for edge in outcome.edges:
        assert edge.revert_test is not None
        assert edge.revert_test.run is None
        assert "does not apply" in edge.revert_test.reason


def test_a_revert_that_cannot_be_configured_is_said(store: SqlStore) -> None:
    tree = Tree(configures=False)
    _, outcome = tree.search(store).execute(tree.asked())
    assert outcome.answer is Answer.FOUND
    for edge in outcome.edges:
        assert edge.revert_test is not None
        assert edge.revert_test.reason.startswith("the configuration cannot be met")


def test_a_build_fix_that_cannot_be_configured_helps_nothing(store: SqlStore) -> None:
    tree = Tree(broken=frozenset({31, 32}), configures=False)
    _, outcome = tree.search(store).execute(tree.asked(build_fixes=(sha(60),)))
    assert [edge.culprit and edge.culprit.sha for edge in outcome.edges] == [sha(REMOVED), sha(RESTORED)]


def test_a_revert_that_brings_nothing_back_does_not_hold(store: SqlStore) -> None:
    tree = Tree(culprit_matters=False)
    _, outcome = tree.search(store).execute(tree.asked())
    assert all(edge.proven for edge in outcome.edges)
    assert not any(edge.revert_test is None or edge.revert_test.holds for edge in outcome.edges)


def test_one_edge_is_undone_at_the_end_of_the_line(store: SqlStore) -> None:
    tree = Tree(edges=(REMOVED,))
    _, outcome = tree.search(store).execute(tree.asked())
    (edge,) = outcome.edges
    assert edge.revert_test is not None
    assert edge.revert_test.far == COMMITS - 1
    assert edge.revert_test.holds


def test_the_proof_is_against_the_parent_where_the_line_leaves_commits_out(store: SqlStore) -> None:
    tree = Tree()
    plan = line()
    rungs = [replace(rung, parent=f"git:linux@{sha(number - 1)}") for number, rung in enumerate(plan.rungs)]
    kept = tuple(rungs[number] for number in range(0, COMMITS, 1) if number not in {REMOVED - 1, REMOVED - 2})
    asked = replace(tree.asked(), plan=replace(plan, rungs=kept))
    _, outcome = tree.search(store).execute(asked)
    edge = outcome.edges[0]
    assert edge.culprit is not None
    assert edge.culprit.sha == sha(REMOVED)
    assert edge.proof_run is not None
    assert store.run(edge.proof_run).baseline.spec == spec_of(REMOVED - 1)


def test_one_option_makes_the_difference_and_its_kernels_are_dear(store: SqlStore) -> None:
    tree = Tree(edges=(22,))
    asked = tree.asked()
    rungs = tuple(replace(rung, commit=None, title=f"OPTION_{at}: n -> y") for at, rung in enumerate(asked.plan.rungs))
    search = replace(loop(store, tree.boot, tree.resolve), effect=lambda _older, _newer: None)
    _, outcome = search.execute(replace(asked, plan=replace(asked.plan, rungs=rungs)))
    assert [(edge.before, edge.after) for edge in outcome.edges] == [(21, 22)]
    assert outcome.answer is Answer.FOUND
    # Both ends, and the halvings of 63 places: no kernel is built to look for a second option.
    assert len(set(tree.built)) <= 2 + math.ceil(math.log2(COMMITS - 1)) + 1
