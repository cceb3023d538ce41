"""A search over invented commits with its evidence: for tests of what tells about it."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from factories import block_spec, named, run, rung_spec, workload
from ladders import FAST, NOISE, SLOW

from harness.bisect.evidence import Evidence
from harness.bisect.fold import stand
from harness.bisect.view import Standing
from harness.model.bisection import (
    Answer,
    BisectionOutcome,
    BisectionPlan,
    Edge,
    EdgeKind,
    Mark,
    PlannedRung,
    RevertTest,
    Subrun,
)
from harness.model.experiment import Arm, Experiment, TrialSpec
from harness.model.run import KernelRecord, Run, SubrunRole
from harness.model.source import Commit, OperationKind
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Decision
from harness.stats.decide import decide
from harness.workloads.registry import METRICS

COMMITS = 40
REMOVED, RESTORED = 12, 31
TITLES = {
    REMOVED: "btrfs: move mount code to the new mount API",
    RESTORED: "btrfs: set SB_NOSEC again after the move to the new mount API",
    5: "wifi: some driver: do something else",
}


def sha(number: int) -> str:
    return f"{0x3A1B2C3D4E5F + number:012x}{number:028x}"


def commit(number: int) -> Commit:
    return Commit(
        sha=sha(number),
        parents=(sha(number - 1),),
        tree=sha(1000 + number),
        title=TITLES.get(number, f"fs: change number {number}"),
        author="Ann Ättiksdotter" if number == REMOVED else "Bob Developer",
        email="ann@example.org" if number == REMOVED else "bob@example.org",
        date="2023-11-22T17:14:26+01:00",
    )


def rung_of_commit(made: Commit, spec: str = "") -> PlannedRung:
    return PlannedRung(
        spec=spec or f"git:/src/linux@{made.sha}",
        release=made.short,
        version=made.date[:10],
        commit=made,
        title=made.title,
        weight=1.0,
    )


def plan(**changes: object) -> BisectionPlan:
    rungs = tuple(rung_of_commit(commit(number)) for number in range(COMMITS))
    return BisectionPlan(**{"rungs": rungs, **changes})


def asked(searched: BisectionPlan) -> Experiment:
    base = run().experiment
    return replace(
        base,
        baseline=searched.rungs[0].spec,
        candidate=searched.rungs[-1].spec,
        workload=replace(workload(), deciding=("write_iops", "queue_depth"), subsystems=("fs/btrfs",)),
    )


def boot(spec: TrialSpec, digest: str, *, slow: bool) -> Trial:
    rng = random.Random(f"{named(spec)} {digest}")
    samples = {}
    for name, value in (SLOW if slow else FAST).items():
        found = value * math.exp(NOISE[name] * rng.gauss(0, 0.5))
        samples[name] = (found, found * 1.01, found * 0.99)
    return Trial(spec=spec, kernel_digest=digest, outcome=Outcome.OK, samples=samples, duration_s=20.0)


def failure(rung: int, attempt: int, outcome: Outcome = Outcome.BUILD_FAILED, message: str = "") -> Trial:
    return Trial(
        spec=rung_spec(rung, attempt),
        kernel_digest=f"{rung}",
        outcome=outcome,
        message=message or "fs/btrfs/super.c:12:2: error: expected ';'",
    )


def ab(arms: tuple[tuple[str, bool], tuple[str, bool]], blocks: int) -> tuple[Trial, ...]:
    """Blocks of two kernels, each (digest, whether it is slow)."""
    return tuple(
        boot(block_spec(block, order, arm, seed=block), digest, slow=slow)
        for block in range(blocks)
        for order, (arm, (digest, slow)) in enumerate(zip(Arm, arms, strict=True))
    )


@dataclass(frozen=True)
class Story:
    """A search, all of it."""

    run: Run
    evidence: Evidence
    standing: Standing
    outcome: BisectionOutcome
    subruns: Mapping[str, Run]


def _decided(experiment: Experiment, trials: Sequence[Trial], metric: str) -> Decision:
    return decide(replace(experiment, metric=metric), METRICS, trials, confirm=False)


def record(spec: str, digest: str) -> KernelRecord:
    return KernelRecord(
        spec=spec,
        release=f"7.2.0-g{spec.rpartition('@')[2][:12]}",
        version="7.2.0",
        source="git",
        digest=digest * 8,
        provenance={
            "tree_hash": "9f" * 20,
            "config": "micro + debug.config",
            "compiler": "gcc (Debian 12.2.0-14) 12.2.0",
            "command": "make -j2 bzImage modules",
            "tree": "/src/linux",
            "commit": spec.rpartition("@")[2],
        },
    )


def story(
    searched: BisectionPlan | None = None,
    *,
    edges: Sequence[tuple[int, EdgeKind]] = ((REMOVED, EdgeKind.REMOVED), (RESTORED, EdgeKind.RESTORED)),
    boots: Iterable[int] = (20, 10, 15, 12, 11, 30, 35, 32, 31),
    failures: Sequence[Trial] = (),
    marks: Sequence[Mark] = (),
    counter: bool | str = True,
    befores: Mapping[int, int] | None = None,
) -> Story:
    """A search that found `edges`; ``counter`` is whether undoing helps, or why it could not be tried."""
    searched = searched or plan()
    experiment = asked(searched)
    starts = [rung for rung, _ in edges]

    def slow(rung: int) -> bool:
        return sum(start <= rung for start in starts) % 2 == (edges[0][1] is EdgeKind.REMOVED)

    def arm(rung: int) -> tuple[str, bool]:
        return f"{rung}", slow(rung)

    ends = ab((arm(0), arm(searched.last)), 4)
    broken = {trial.place.rung for trial in failures}
    trials = [
        *failures,
        *(boot(rung_spec(rung), f"{rung}", slow=slow(rung)) for rung in boots if rung not in broken),
    ]
    proofs, found, parts = [], [], {}
    for after, kind in edges:
        before = (befores or {}).get(after, after - 1)
        proof = Subrun(role=SubrunRole.PROOF, before=before, after=after, run_id=f"proof-{after}")
        made = ab((arm(before), arm(after)), 6)
        decision = _decided(experiment, made, "queue_depth")
        proofs.append((proof, made, decision))
        parts[proof.run_id] = replace(
            run(made, id=proof.run_id),
            baseline=record(searched.rungs[before].spec, "ab"),
            candidate=record(searched.rungs[after].spec, "cd"),
            experiment=replace(experiment, metric="queue_depth"),
            command=("kab", "ab", searched.rungs[before].spec, searched.rungs[after].spec, "--fs", "btrfs"),
        )
        far = max(rung for rung in range(searched.last + 1) if slow(rung)) if kind is EdgeKind.REMOVED else min(
            rung for rung in range(searched.last + 1) if slow(rung)
        )  # fmt: skip
        undo = RevertTest(
            kind=OperationKind.REVERT if kind is EdgeKind.REMOVED else OperationKind.PICK,
            far=far,
            spec=f"{searched.rungs[far].spec}+revert=x",
            reason=counter if isinstance(counter, str) else "",
        )
        if not isinstance(counter, str):
            part = Subrun(role=SubrunRole.REVERT_TEST, before=far, after=after, run_id=f"counter-{after}")
            made = ab((arm(far), (f"{far}-undone", not counter)), 6)
            said = _decided(experiment, made, "queue_depth")
            proofs.append((part, made, said))
            undo = replace(undo, run=part.run_id, verdict=said.verdict, reason=said.reason)
        here = searched.rungs[after].commit
        found.append(
            Edge(
                before=before, after=after, kind=kind, proof_run=proof.run_id, verdict=decision.verdict,
                reason=decision.reason, culprit=here if before == after - 1 else None,
                revert_test=undo if here else None,
            )
        )  # fmt: skip
    evidence = Evidence(
        plan=searched,
        experiment=experiment,
        confirm=False,
        ends=ends,
        ends_decision=_decided(experiment, ends, "auto"),
        trials=tuple(trials),
        marks=tuple(marks),
        proofs=tuple(proofs),
    )
    searching = replace(
        run(id="20261122-2251-x9f2"),
        verb="bisect",
        experiment=experiment,
        baseline=record(searched.rungs[0].spec, "ef"),
        candidate=record(searched.rungs[-1].spec, "01"),
        command=("/usr/bin/kab", "bisect", "git:/src/linux@v6.7..v7.2", "--fs", "btrfs,mount=nodatacow"),
    )
    outcome = BisectionOutcome(
        answer=Answer.FOUND, reason="each edge is proven by A/B of its neighbours", metric="queue_depth",
        probability=0.998, edges=tuple(found),
    )  # fmt: skip
    return Story(run=searching, evidence=evidence, standing=stand(evidence, METRICS), outcome=outcome, subruns=parts)
