"""The search loop: ends by A/B, then boots where they tell most, then each edge's neighbours by A/B.

Every boot is stored before anything is decided from it, and every A/B run is noted before it is made: a resumed
search is the same fold over what is stored, and no boot is lost or made twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.bisect.findings import Evidence
from harness.bisect.standing import Standing, stand, view_of
from harness.bisect.suspects import rank
from harness.errors import ConfigError, HostError
from harness.interfaces import Bisections, Store
from harness.model.bisection import (
    Answer,
    BisectionOutcome,
    BisectionPlan,
    Edge,
    EdgeKind,
    EdgeWish,
    FoundEdge,
    Mark,
    Part,
    PartRole,
)
from harness.model.experiment import Arm, Experiment
from harness.model.guest import Accelerator
from harness.model.history import Step, Suspect
from harness.model.kernel import Kernel
from harness.model.run import Run, RunState
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Decision, Verdict
from harness.parse.plainjson import canonical
from harness.plan import MAX_LOSSES, experiment_digest, search_spec
from harness.run.ab import AbLoop, AbRequest
from harness.stats.faults import faulty_arms

# The ends need no more than a look: what they decide is the prior of the search, and each edge is proven on its own.
ENDS_ERROR = 0.05
ENDS_MAX_BOOTS = 8
# Posterior probability below which the edges named are not worth a proof.
_WORTH_A_PROOF = 0.5
# Probability of further edges from which it is said.
_WORTH_A_WORD = 0.001
# The neighbour that is slow.
_SLOW_ARM = {EdgeKind.REMOVED: Arm.CANDIDATE, EdgeKind.RESTORED: Arm.BASELINE}
# Suspects kept for each edge, and the points they need: a single word elsewhere in the kernel is none.
_SUSPECTS = 10
_LEAST_SCORE = 2
# Conditions that name the part of a bisection that a run is: with them no other run has its digest.
PART_CONDITION = "part of"


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
class _Search:
    """A bisection while this process works on it."""

    request: BisectRequest
    run: Run
    trials: list[Trial]
    # Trials stored before this process began: their losses belong to a host that may have been mended since.
    resumed: int
    kernels: dict[int, Kernel]
    ends: tuple[Run, Decision] | None = None
    proofs: list[tuple[Part, Run, Decision]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectLoop:
    """Runs searches over an A/B loop, a store, and a way to fetch kernels."""

    ab: AbLoop
    bisections: Bisections
    resolve: Callable[[str], Kernel]
    # (older, newer) -> what their changelogs say came between them.
    changes: Callable[[Kernel, Kernel], Step]

    def execute(self, request: BisectRequest) -> tuple[Run, BisectionOutcome]:
        """Search to the end, or to the cap (the run then stays open: a higher cap continues it).

        Raises HostError (host trouble, or guests lost again and again: the run stays open) and ConfigError.
        """
        with self.ab.exclusive(request.digest):
            run = None if request.fresh else self.ab.store.unfinished(request.digest)
            if run is None:
                run = self._create(request)
            search = _Search(
                request=request,
                run=run,
                trials=list(run.trials),
                resumed=len(run.trials),
                kernels={0: request.first, request.plan.last: request.last},
            )
            self.ab.progress.run_started(run, resumed_trials=len(run.trials))
            outcome, over = self._search(search)
            if over:
                self.bisections.finish(run.id, outcome)
        return replace(run, trials=tuple(search.trials)), outcome

    def _create(self, request: BisectRequest) -> Run:
        run = self.ab.new_run("bisect", request, baseline=request.first, candidate=request.last)
        self.bisections.create(run, request.plan)
        return run

    def _search(self, search: _Search) -> tuple[BisectionOutcome, bool]:
        """Boot and prove until nothing is left to do; the outcome, and whether the run is over with it."""
        experiment, plan = search.request.experiment, search.request.plan
        looked = replace(experiment, error=max(experiment.error, ENDS_ERROR), max_boots=ENDS_MAX_BOOTS)
        search.ends = self._part(search, looked, PartRole.ENDS, 0, plan.last)[1:]
        while True:
            standing = self._standing(search)
            self.ab.progress.searched(view_of(plan, standing))
            if standing.next is not None:
                if standing.boots >= search.request.max_boots:
                    reason = f"the cap of {search.request.max_boots} boots is reached; a higher --max-boots goes on"
                    return self._outcome(search, standing, reason), False
                self._boot(search, standing.next.rung)
                continue
            edge = self._unproven(search, standing)
            if edge is None:
                return self._outcome(search, standing, ""), True
            assert standing.metric is not None, "edges are of a metric"
            proof = replace(experiment, metric=standing.metric.name)
            search.proofs.append(self._part(search, proof, PartRole.PROOF, edge.before, edge.after))

    def _standing(self, search: _Search) -> Standing:
        ends_run, ends_decision = search.ends or (None, None)
        evidence = Evidence(
            plan=search.request.plan,
            experiment=search.request.experiment,
            confirm=self.ab.accelerator is Accelerator.TCG,
            ends=ends_run.trials if ends_run else (),
            ends_decision=ends_decision,
            trials=tuple(search.trials),
            marks=self.bisections.marks(search.run.id),
            proofs=tuple((part, run.trials, decision) for part, run, decision in search.proofs),
        )
        return stand(evidence, self.ab.metrics)

    def _boot(self, search: _Search, rung: int) -> None:
        """One boot of a rung, stored."""
        kernel = self._kernel(search, rung)
        if kernel is None:
            return
        boots = sum(trial.spec.block == rung for trial in search.trials)
        spec = search_spec(search.run.seed, rung, boots)
        self.ab.progress.trial_started(spec, kernel)
        trial = self.ab.make_trial(search.request.experiment, spec, kernel)
        self.ab.store.append_trial(search.run.id, trial)
        search.trials.append(replace(trial, artifacts={}))
        self.ab.progress.trial_finished(trial)
        new = search.trials[search.resumed :]
        if len(new) >= MAX_LOSSES and all(one.outcome is Outcome.LOST for one in new[-MAX_LOSSES:]):
            raise HostError(
                f"{MAX_LOSSES} boots in a row were lost: {trial.message}",
                remedy="That is the host's trouble, not a kernel's: see `kab doctor`. What was measured is "
                "stored; the same command continues.",
            )

    def _kernel(self, search: _Search, rung: int) -> Kernel | None:
        """A rung's kernel; None, and marked to be skipped, where it is no longer to be had."""
        if rung not in search.kernels:
            try:
                search.kernels[rung] = self.resolve(search.request.plan.rungs[rung].spec)
            except ConfigError as error:
                self.ab.progress.note(f"skipping {search.request.plan.rungs[rung].release}: {error.message}")
                mark = Mark(rung=rung, skip=True, reason=error.message, after_trials=len(search.trials))
                self.bisections.add_mark(search.run.id, mark)
                return None
        return search.kernels[rung]

    def _part(
        self, search: _Search, experiment: Experiment, role: PartRole, before: int, after: int
    ) -> tuple[Part, Run, Decision]:
        """An A/B run of two rungs: the one noted for them, made or continued where it is not finished."""
        part = next(
            (
                one
                for one in self.bisections.parts(search.run.id)
                if (one.role, one.before, one.after) == (role, before, after)
            ),
            None,
        )
        if part is None:
            part = Part(role=role, before=before, after=after, run_id=self.ab.new_run_id())
            self.bisections.add_part(search.run.id, part)
        else:
            stored = self._stored(part)
            if stored is not None:
                return stored
        older, newer = self._kernel(search, before), self._kernel(search, after)
        assert older is not None, "rungs beside an edge have been booted"
        assert newer is not None, "rungs beside an edge have been booted"
        run_id = part.run_id
        loop = replace(self.ab, new_run_id=lambda: run_id)
        specs = search.request.plan.rungs
        run, decision = loop.execute(
            AbRequest(
                experiment=replace(experiment, baseline=specs[before].spec, candidate=specs[after].spec),
                baseline=older,
                candidate=newer,
                conditions={**search.request.conditions, PART_CONDITION: f"{search.run.id} ({role})"},
                host=search.request.host,
                command=("kab", "ab", specs[before].spec, specs[after].spec, *_settings(search.request, experiment)),
            )
        )
        return part, run, decision

    def _stored(self, part: Part) -> tuple[Part, Run, Decision] | None:
        """A part that is finished."""
        try:
            run = self.ab.store.run(part.run_id)
        except ConfigError:
            return None
        decision = self.ab.store.decision(part.run_id) if run.state is RunState.FINISHED else None
        return None if decision is None else (part, run, decision)

    def _unproven(self, search: _Search, standing: Standing) -> FoundEdge | None:
        """The first edge named whose neighbours A/B has not compared."""
        if standing.result is None or standing.result.probability < _WORTH_A_PROOF:
            return None
        tried = {(part.before, part.after) for part, _, _ in search.proofs}
        return next((edge for edge in standing.edges if (edge.before, edge.after) not in tried), None)

    def _outcome(self, search: _Search, standing: Standing, stopped: str) -> BisectionOutcome:
        edges = tuple(self._edge(search, edge) for edge in standing.edges)
        answer, reason = _answer(standing, edges, stopped, search.request.plan.edges)
        return BisectionOutcome(
            answer=answer,
            reason=reason,
            metric=standing.metric.name if standing.metric else None,
            probability=standing.result.probability if standing.result else 0.0,
            missed=standing.missed,
            edges=edges,
        )

    def _edge(self, search: _Search, found: FoundEdge) -> Edge:
        """An edge with its proof, where there is one, and its suspects."""
        proof = next(
            (one for one in search.proofs if (one[0].before, one[0].after) == (found.before, found.after)), None
        )
        older, newer = self._kernel(search, found.before), self._kernel(search, found.after)
        step = self.changes(older, newer) if older and newer else None
        workload = search.request.experiment.workload
        suspects: Sequence[Suspect] = rank(step.changes, workload.subsystems, workload.words) if step else ()
        edge = Edge(
            before=found.before,
            after=found.after,
            kind=found.kind,
            suspects=tuple(suspect for suspect in suspects[:_SUSPECTS] if suspect.score >= _LEAST_SCORE),
            changes=len(suspects),
            gaps=step.gaps if step else (),
        )
        if proof is None:
            return edge
        _, run, decision = proof
        verdict = decision.verdict
        failing = set(faulty_arms(run.trials, confirm=self.ab.accelerator is Accelerator.TCG))
        if search.request.plan.crash_is_slow and failing == {_SLOW_ARM[found.kind]}:
            # The neighbours differ just as the user said that the symptom shows.
            verdict = Verdict.SLOWER if found.kind is EdgeKind.REMOVED else Verdict.FASTER
        return replace(edge, proof_run=run.id, verdict=verdict, reason=decision.reason)


def stored_evidence(store: Store, bisections: Bisections, run: Run, plan: BisectionPlan) -> Evidence:
    """What is stored of a bisection, for reports."""
    ends: tuple[Run, Decision] | None = None
    proofs = []
    for part in bisections.parts(run.id):
        try:
            made, decision = store.run(part.run_id), store.decision(part.run_id)
        except ConfigError:
            continue
        if decision is None:
            continue
        if part.role is PartRole.ENDS:
            ends = (made, decision)
        else:
            proofs.append((part, made.trials, decision))
    return Evidence(
        plan=plan,
        experiment=run.experiment,
        confirm=run.conditions.get("accelerator") == Accelerator.TCG,
        ends=ends[0].trials if ends else (),
        ends_decision=ends[1] if ends else None,
        trials=run.trials,
        marks=bisections.marks(run.id),
        proofs=tuple(proofs),
    )


def _answer(standing: Standing, edges: Sequence[Edge], stopped: str, wish: EdgeWish) -> tuple[Answer, str]:
    """How the search ended, and why in a sentence."""
    result = standing.result
    if standing.blocked or result is None:
        return Answer.UNCERTAIN, standing.blocked
    if stopped:
        return Answer.UNCERTAIN, stopped
    missed = f"a further stretch has been missed with probability {standing.missed:.2g}"
    if not edges and (not result.edges or standing.small):
        if wish is EdgeWish.BOTH or result.probability < _WORTH_A_PROOF:
            return Answer.UNCERTAIN, "no stretch that differs was found"
        return Answer.NOTHING, f"what was booted differs from the ends by less than the margin; {missed}"
    if not edges:
        return Answer.UNCERTAIN, f"there are edges, but none that was {wish}"
    if result.probability < _WORTH_A_PROOF:
        return Answer.UNCERTAIN, f"nothing left to boot tells more; believed with probability {result.probability:.3g}"
    unproven = [edge for edge in edges if not edge.proven]
    if unproven:
        return Answer.UNPROVEN, "; ".join(f"A/B of the {edge.kind} edge says {edge.verdict}" for edge in unproven)
    proven = f"{'each edge is' if len(edges) > 1 else 'the edge is'} proven by A/B of its neighbours"
    return Answer.FOUND, proven if standing.missed < _WORTH_A_WORD else f"{proven}; {missed}"


# Options of a search that `kab ab` does not know or that are given anew: those with a value, and flags.
_OWN_OPTIONS = frozenset(
    {"--ladder", "--edges", "--confidence", "--flavour", "--suite", "--max-boots", "--metric", "--error", "--seed"}
)
_OWN_FLAGS = frozenset({"--resume", "--new", "--every", "--crash-is-slow"})


def _settings(request: BisectRequest, experiment: Experiment) -> tuple[str, ...]:
    """Options with which `kab ab` makes the same experiment."""
    kept: list[str] = []
    words = iter(request.command[2:])
    for word in words:
        name = word.partition("=")[0]
        if name in _OWN_FLAGS or not word.startswith("-"):
            continue
        value = () if "=" in word else (next(words, ""),)
        if name not in _OWN_OPTIONS:
            kept += [word, *value]
    error = f"{100 * experiment.error:g}%"
    return (*kept, "--metric", experiment.metric, "--error", error, "--max-boots", str(experiment.max_boots))
