"""The search loop: ends by A/B, then boots where they tell most, then each edge's neighbours by A/B.

Every boot is stored before anything is decided from it, and every A/B run is stored with its place in the search: a
resumed search is the same fold over what is stored, and no boot is lost or made twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from harness import interruption
from harness.bisect.fold import stand
from harness.bisect.view import Standing, view_of
from harness.errors import BuildError, DoesNotApplyError, NoKernelError
from harness.interfaces import Bisections
from harness.model.bisection import (
    Answer,
    BisectionOutcome,
    BisectionPlan,
    Edge,
    EdgeKind,
    FoundEdge,
    IdenticalBuild,
    Mark,
    Obstacle,
    RevertTest,
    Subrun,
)
from harness.model.experiment import Experiment, RungPlace, TrialSpec
from harness.model.history import Step
from harness.model.kconfig import OptionEffect
from harness.model.kernel import Kernel
from harness.model.run import Run, SubrunRole
from harness.model.source import OperationKind
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Decision
from harness.parse.plainjson import canonical
from harness.plan import experiment_digest, search_spec
from harness.report.search.reasons import obstacle_reason
from harness.run.ab import AbLoop
from harness.run.answer import WORTH_A_PROOF, TreeLister, edge_of, outcome_of
from harness.run.boots import Boots, record_of
from harness.run.evidence import evidence_of
from harness.run.resolve import resolve_rung
from harness.run.subruns import SubrunRequest, run_subrun

# The ends need no more than a look: what they decide is the prior of the search, and each edge is proven on its own.
ENDS_ERROR = 0.05
ENDS_MAX_BOOTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectRequest:
    """What `kab bisect` was asked, with everything resolved that decides whether two searches are one."""

    # Baseline and candidate are the ends; its cap is that of each proof.
    experiment: Experiment
    plan: BisectionPlan
    first: Kernel
    last: Kernel
    conditions: Mapping[str, str]
    host: Mapping[str, str]
    command: tuple[str, ...]
    # The `kab ab` that makes an experiment again, for the A/B runs inside.
    repeat: Callable[[Experiment], tuple[str, ...]]
    # Boots of ends and search together after which to stop; proofs have the experiment's cap.
    max_boots: int
    fresh: bool = False

    @property
    def digest(self) -> str:
        """The bisection's identity: experiment, ladder, what is wanted, and conditions; not the cap."""
        return experiment_digest(
            self.experiment,
            baseline_digest=self.first.digest,
            candidate_digest=self.last.digest,
            conditions={**self.conditions, "bisection": canonical(self.plan)},
        )


@dataclass(slots=True)
class _Ongoing:
    """A bisection while this process works on it."""

    request: BisectRequest
    run: Run
    boots: Boots[RungPlace]
    kernels: dict[int, Kernel]
    # Kernel digest -> the first rung that was found to be it.
    rungs: dict[str, int]
    # Rungs whose kernel is that of another one.
    identical_builds: set[int]
    ends: tuple[Run, Decision] | None = None
    proofs: list[tuple[Subrun, Run, Decision]] = field(default_factory=list)
    # Culprit's rung -> what undoing it showed.
    revert_tests: dict[int, RevertTest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectLoop:
    """Runs searches over an A/B loop, a store, and a way to fetch or build kernels."""

    ab: AbLoop
    bisections: Bisections
    resolve: Callable[[str], Kernel]
    # (older, newer) -> what their changelogs say came between them.
    changes: Callable[[Kernel, Kernel], Step]
    # What the user's git tree lists between two packages; None where no tree is named.
    tree: TreeLister | None = None
    # (plan, edge, far rung) -> the spec of the far rung's kernel with the edge's change reverted or applied.
    counter: Callable[[BisectionPlan, FoundEdge, int], str] | None = None
    # (older, newer) -> what changed between their configurations; None where that is not what is searched.
    effect: Callable[[Kernel, Kernel], OptionEffect] | None = None
    # Told, before each boot, the specs of kernels that may be wanted after it, the likeliest first.
    ahead: Callable[[Sequence[str]], None] | None = None

    def execute(self, request: BisectRequest) -> tuple[Run, BisectionOutcome]:
        """Search to the end, or to the cap (the run then stays open: a higher cap continues it).

        Raises HostError (host trouble, or guests lost again and again: the run stays open) and ConfigError.
        """
        runner = self.ab.runner
        with runner.exclusive(request.digest):
            run = None if request.fresh else runner.store.unfinished(request.digest)
            if run is None:
                run = self._create(request)
            ends = {0: request.first, request.plan.last: request.last}
            search = _Ongoing(
                request=request,
                run=run,
                boots=Boots(runner=runner, run=run, trials=list(run.rung_trials)),
                kernels=ends,
                rungs={kernel.digest: rung for rung, kernel in ends.items()},
                identical_builds={identical.rung for identical in self.bisections.identical_builds(run.id)},
            )
            for trial in search.boots.trials:
                if trial.kernel_digest:
                    search.rungs.setdefault(trial.kernel_digest, trial.place.rung)
            runner.progress.run_started(run, resumed_trials=search.boots.resumed)
            outcome, over = self._search(search)
            if over:
                self.bisections.finish(run.id, outcome)
        return search.boots.whole(), outcome

    def _create(self, request: BisectRequest) -> Run:
        first, last, seed = record_of(request.first), record_of(request.last), request.experiment.seed
        run = self.ab.runner.new_run("bisect", request, baseline=first, candidate=last, seed=seed)
        self.bisections.create(run, request.plan)
        return run

    def _search(self, search: _Ongoing) -> tuple[BisectionOutcome, bool]:
        """Boot and prove until nothing is left to do; the outcome, and whether the run is over with it."""
        experiment, plan = search.request.experiment, search.request.plan
        looked = replace(experiment, error=max(experiment.error, ENDS_ERROR), max_boots=ENDS_MAX_BOOTS)
        ends = SubrunRequest(
            role=SubrunRole.ENDS,
            before=0,
            after=plan.last,
            experiment=looked,
            baseline=search.request.first,
            candidate=search.request.last,
        )
        search.ends = self._subrun(search, ends)[1:]
        while True:
            interruption.check()
            standing = self._standing(search)
            self.ab.runner.progress.searched(view_of(plan, standing))
            capped = standing.next is not None and standing.boots >= search.request.max_boots
            if standing.next is not None and not capped:
                if self.ahead is not None:
                    self.ahead([plan.rungs[rung].spec for rung in standing.ahead if rung not in search.kernels])
                self._boot(search, standing.next.rung)
                continue
            # Also where the cap is reached: an edge that A/B proves is one, and its boots tell the search more.
            edge = self._unproven(search, standing)
            if edge is None:
                break
            self._prove(search, standing, edge)
        for edge in standing.edges:
            self._counter(search, standing, edge)
        stopped = f"the cap of {search.request.max_boots} boots is reached" if capped else ""
        outcome = self._outcome(search, standing, stopped)
        return outcome, not capped or outcome.answer is Answer.FOUND

    def _standing(self, search: _Ongoing) -> Standing:
        evidence = evidence_of(
            self.bisections,
            search.run,
            search.request.plan,
            trials=search.boots.trials,
            ends=search.ends,
            proofs=search.proofs,
            confirm=self.ab.runner.confirm,
        )
        return stand(evidence, self.ab.metrics, ahead=self.ahead is not None)

    def _boot(self, search: _Ongoing, rung: int) -> None:
        """One boot of a rung, stored; or, where its kernel is no new one, that."""
        kernel = self._kernel(search, rung)
        if kernel is None or self._is_identical(search, rung, kernel):
            return
        search.boots.make(search.request.experiment, self._next_spec(search, rung), kernel)

    @staticmethod
    def _next_spec(search: _Ongoing, rung: int) -> TrialSpec[RungPlace]:
        boots = sum(trial.place.rung == rung for trial in search.boots.trials)
        return search_spec(search.run.seed, rung, boots)

    def _is_identical(self, search: _Ongoing, rung: int, kernel: Kernel) -> bool:
        """Whether a rung's kernel is that of another one, found out before; it is stored then."""
        own = search.rungs.setdefault(kernel.digest, rung)
        if own == rung or {own, rung} == {0, search.request.plan.last}:
            return False
        if rung not in search.identical_builds:
            names = search.request.plan.rungs
            self.ab.runner.progress.note(f"{names[rung].release} is, bit by bit, the kernel of {names[own].release}")
            self.bisections.add_identical_build(
                search.run.id, IdenticalBuild(rung=rung, of=own, after_trials=len(search.boots.trials))
            )
            search.identical_builds.add(rung)
        return True

    def _kernel(self, search: _Ongoing, rung: int) -> Kernel | None:
        """A rung's kernel; None where there is none or it does not build, which is stored."""
        if rung in search.kernels:
            return search.kernels[rung]
        planned = search.request.plan.rungs[rung]
        started = datetime.now(UTC)
        try:
            search.kernels[rung] = self._resolve(search.request.plan, planned.spec)
        except (NoKernelError, DoesNotApplyError) as error:
            self.ab.runner.progress.note(f"skipping {planned.release}: {error.message}")
            mark = Mark(rung=rung, skip=True, reason=error.message, after_trials=len(search.boots.trials))
            self.bisections.add_mark(search.run.id, mark)
            return None
        except BuildError as error:
            search.boots.add(
                Trial(
                    spec=self._next_spec(search, rung),
                    kernel_digest="",
                    outcome=Outcome.BUILD_FAILED,
                    message=error.message,
                    artifacts={"build.log": error.log.encode()},
                    started=started,
                    duration_s=(datetime.now(UTC) - started).total_seconds(),
                ),
            )
            return None
        return search.kernels[rung]

    def _resolve(self, plan: BisectionPlan, spec: str) -> Kernel:
        return resolve_rung(self.resolve, spec, plan.build_fixes, self.ab.runner.progress.note)

    def _subrun(self, search: _Ongoing, asked: SubrunRequest) -> tuple[Subrun, Run, Decision]:
        return run_subrun(self.ab, self.bisections, search.run, search.request, asked)

    def _unproven(self, search: _Ongoing, standing: Standing) -> FoundEdge | None:
        """The first edge named whose neighbours A/B has not compared."""
        if standing.result is None or standing.result.probability < WORTH_A_PROOF:
            return None
        tried = {(subrun.before, subrun.after) for subrun, _, _ in search.proofs if subrun.role is SubrunRole.PROOF}
        return next((edge for edge in standing.edges if (edge.before, edge.after) not in tried), None)

    def _prove(self, search: _Ongoing, standing: Standing, edge: FoundEdge) -> None:
        """A/B of an edge's neighbours; or, where having them changes what is known, only that."""
        known = len(search.identical_builds)
        kernels = [self._kernel(search, rung) for rung in (edge.before, edge.after)]
        for rung, kernel in zip((edge.before, edge.after), kernels, strict=True):
            if kernel is not None:
                self._is_identical(search, rung, kernel)
        before, after = kernels
        if before is None or after is None or len(search.identical_builds) > known:
            return
        search.proofs.append(
            self._subrun(
                search,
                SubrunRequest(
                    role=SubrunRole.PROOF,
                    before=edge.before,
                    after=edge.after,
                    experiment=_of_metric(search, standing),
                    baseline=self._parent(search, edge) or before,
                    candidate=after,
                ),
            )
        )

    def _parent(self, search: _Ongoing, edge: FoundEdge) -> Kernel | None:
        """What the culprit is compared with where that is not the rung before; None where it is."""
        plan = search.request.plan
        parent = plan.rungs[edge.after].parent
        if not parent or edge.after != edge.before + 1:
            return None
        try:
            return self._resolve(plan, parent)
        except (BuildError, NoKernelError) as error:
            self.ab.runner.progress.note(
                f"the parent of {plan.rungs[edge.after].release} cannot be had: {error.message}"
            )
            return None

    def _counter(self, search: _Ongoing, standing: Standing, edge: FoundEdge) -> None:
        """Undo a proven culprit at the far end of the slow stretch, and measure that."""
        plan = search.request.plan
        if self.counter is None or not self._edge(search, edge).proven or edge.after != edge.before + 1:
            return
        far = far_rung(standing, edge, plan.last)
        kind = OperationKind.REVERT if edge.kind is EdgeKind.REMOVED else OperationKind.PICK
        result = RevertTest(kind=kind, far=far, spec=self.counter(plan, edge, far))
        baseline = self._kernel(search, far)
        if far in {edge.before, edge.after} or baseline is None:
            obstacle = Obstacle.NO_KERNEL if baseline is None else Obstacle.NO_FAR_END
            search.revert_tests[edge.after] = _untested(plan, result, obstacle)
            return
        try:
            candidate = self._resolve(plan, result.spec)
        except (BuildError, DoesNotApplyError, NoKernelError) as error:
            applies = not isinstance(error, DoesNotApplyError)
            obstacle = Obstacle.DOES_NOT_BUILD if applies else Obstacle.DOES_NOT_APPLY
            search.revert_tests[edge.after] = _untested(plan, result, obstacle, error.message)
            return
        if candidate.digest == baseline.digest:
            search.revert_tests[edge.after] = _untested(plan, result, Obstacle.CHANGES_NOTHING)
            return
        asked = SubrunRequest(
            role=SubrunRole.REVERT_TEST,
            before=far,
            after=edge.after,
            experiment=_of_metric(search, standing),
            baseline=baseline,
            candidate=candidate,
        )
        _, run, decision = self._subrun(search, asked)
        search.revert_tests[edge.after] = replace(result, run=run.id, verdict=decision.verdict, reason=decision.reason)

    def _outcome(self, search: _Ongoing, standing: Standing, stopped: str) -> BisectionOutcome:
        edges = [self._edge(search, edge) for edge in standing.edges]
        return outcome_of(standing, edges, stopped=stopped, plan=search.request.plan)

    def _edge(self, search: _Ongoing, found: FoundEdge) -> Edge:
        def changes() -> Step | None:
            older, newer = self._kernel(search, found.before), self._kernel(search, found.after)
            return self.changes(older, newer) if older and newer else None

        def effect() -> OptionEffect | None:
            older, newer = self._kernel(search, found.before), self._kernel(search, found.after)
            return self.effect(older, newer) if self.effect and older and newer else None

        proofs = {
            (subrun.role, subrun.before, subrun.after): (subrun, run, made) for subrun, run, made in search.proofs
        }
        return edge_of(
            search.request.plan,
            found,
            experiment=search.request.experiment,
            changes=changes,
            effect=effect,
            proof=proofs.get((SubrunRole.PROOF, found.before, found.after)),
            revert_test=search.revert_tests.get(found.after),
            confirm=self.ab.runner.confirm,
            tree=self.tree,
        )


def far_rung(standing: Standing, edge: FoundEdge, last: int) -> int:
    """The end, far from `edge`, of the slow stretch that it begins or ends."""
    found = standing.result.edges if standing.result else ()
    if edge.kind is EdgeKind.REMOVED:
        return min((other.before for other in found if other.before >= edge.after), default=last)
    return max((other.after for other in found if other.after <= edge.before), default=0)


def _untested(plan: BisectionPlan, test: RevertTest, obstacle: Obstacle, said: str = "") -> RevertTest:
    reason = obstacle_reason(obstacle, plan.rungs[test.far].release, said)
    return replace(test, obstacle=obstacle, reason=reason)


def _of_metric(search: _Ongoing, standing: Standing) -> Experiment:
    """The experiment, decided by the metric that the search followed."""
    assert standing.metric is not None, "edges are of a metric"
    return replace(search.request.experiment, metric=standing.metric.name)
