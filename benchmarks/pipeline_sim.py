"""What `kab bisect` answers in the end, and how often that is wrong. No guests; seeded; one process.

    python benchmarks/pipeline_sim.py                          # every cell, 30 searches each: some minutes
    python benchmarks/pipeline_sim.py --only noise --searches 400

Runs the loop of harness.run.bisect itself, ends by A/B, search, proofs and what is made of them, over a store in memory
and kernels that are numbers: a boot of one gives exp(-spread * value), value as in bisect_sim.py (its worlds and its
noise models are used). The settings are those of the command line: confidence 99 %, error 1 %, margin 5 %, 80
boots of ends and search, 40 of a proof.

What a search came to, in % of all searches:
    right     what it names is all there is, and each edge is proven; or nothing is there, and it says so
    part      all that it names is there and proven (or it names nothing), but there is more: a stretch was missed
    below     it says that nothing differs by so much or more, and what does differs by less
    wrong     it names as proven an edge that is none
    unproven  an edge named was not confirmed by A/B, and it says so
    gave up   uncertain: the cap was reached, or nothing more could be told
"""

import argparse
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from bisect_sim import NOISES, Cell, World

# The order matters: bisect_sim keeps BLAS to one thread before numpy is imported.
import numpy as np  # isort: skip

from harness.bisect.fold import stand
from harness.bisect.nullsearch import GIVE_UP
from harness.interfaces import NullProgress
from harness.model.bisection import Answer, BisectionOutcome, BisectionPlan, PlannedRung
from harness.model.experiment import Experiment, PlaceT, TrialSpec
from harness.model.guest import Accelerator
from harness.model.history import Step
from harness.model.kernel import Kernel
from harness.model.run import SubrunRole
from harness.model.trial import Outcome, Trial
from harness.model.workload import Workload
from harness.run.ab import AbLoop
from harness.run.bisect import BisectLoop, BisectRequest
from harness.run.boots import Runner
from harness.run.evidence import stored_evidence
from harness.store import SqlStore
from harness.workloads.registry import METRICS

METRIC = "write_iops"
WORKLOAD = Workload(
    name="simulated", title="simulated", stands_for="", template="", parameters={}, deciding=(METRIC,), words=()
)
# Standard deviation of a boot, as a log ratio.
SPREAD = 0.1
MAX_BOOTS = 80
VERDICTS = ("right", "part", "below", "wrong", "unproven", "gave up")


@dataclass(frozen=True, kw_only=True)
class PipelineCell(Cell):
    """One row of the table; of a cell's fields, those that make its world count."""

    kernels: int = 100
    confidence: float = 0.99
    spread: float = SPREAD


@dataclass(frozen=True, kw_only=True)
class Searched:
    """One search."""

    verdict: str
    ends: int
    search: int
    proofs: int
    warned: bool
    # Probability of having missed a stretch that it stated.
    missed: float


def kernel(spec: str) -> Kernel:
    """A rung's kernel."""
    nowhere = Path("/nonexistent")
    name = spec.partition(":")[2]
    return Kernel(
        spec=spec, release=name, version=name, source="debian", digest=spec, directory=nowhere, vmlinuz=nowhere
    )


def search(cell: PipelineCell, seed: int, number: int) -> Searched:
    """One search from the first boot to its answer."""
    world = World(cell, seed, number)
    ids: Iterator[str] = (f"run-{one}" for one in itertools.count())

    def boot(_asked: Experiment, spec: TrialSpec[PlaceT], booted: Kernel) -> Trial[PlaceT]:
        value = world.boot(int(booted.version))
        if value is None:
            failed = Outcome.BOOT_FAILED
            return Trial(spec=spec, kernel_digest=booted.digest, outcome=failed, message="no init found", duration_s=1)
        samples = {METRIC: (math.exp(-cell.spread * value),)}
        return Trial(spec=spec, kernel_digest=booted.digest, outcome=Outcome.OK, samples=samples, duration_s=1)

    # All places alike, as in the worlds.
    rungs = [PlannedRung(spec=f"debian:{n}", release=f"{n}", version=f"{n}", weight=1.0) for n in range(cell.kernels)]
    request = BisectRequest(
        experiment=Experiment(
            baseline=rungs[0].spec, candidate=rungs[-1].spec, workload=WORKLOAD, metric=METRIC, seed=number
        ),
        plan=BisectionPlan(rungs=tuple(rungs), confidence=cell.confidence),
        first=kernel(rungs[0].spec),
        last=kernel(rungs[-1].spec),
        conditions={},
        host={},
        command=("kab", "bisect"),
        repeat=lambda _: ("kab", "ab"),
        max_boots=MAX_BOOTS,
    )
    with SqlStore(":memory:") as store:
        ab = AbLoop(
            runner=Runner(
                store=store,
                make_trial=boot,
                progress=NullProgress(),
                accelerator=Accelerator.KVM,
                new_run_id=lambda: next(ids),
                exclusive=lambda _digest: nullcontext(),
            ),
            metrics=METRICS,
        )
        loop = BisectLoop(ab=ab, bisections=store.bisections, resolve=kernel, changes=unlisted)
        run, outcome = loop.execute(request)
        standing = stand(stored_evidence(store, store.bisections, store.run(run.id), request.plan), METRICS)
        boots = Counter({part.role: 0 for part in store.bisections.subruns(run.id)})
        for part in store.bisections.subruns(run.id):
            boots[part.role] += len(store.run(part.run_id).trials)
    return Searched(
        verdict=verdict_of(world, outcome, cell.spread * world.gap < math.log1p(standing.looked_for)),
        ends=boots[SubrunRole.ENDS],
        search=len(run.trials),
        proofs=boots[SubrunRole.PROOF],
        warned=bool(standing.doubts) or outcome.missed > GIVE_UP,
        missed=outcome.missed,
    )


def unlisted(older: Kernel, newer: Kernel) -> Step:
    """Changelogs that list nothing."""
    return Step(older=older.version, newer=newer.version, changes=())


def verdict_of(world: World, outcome: BisectionOutcome, below: bool) -> str:
    """The column that an answer belongs to; `below`: differences are smaller than what it says that it looked for."""
    if outcome.answer is Answer.UNCERTAIN:
        return "gave up"
    if outcome.answer is Answer.UNPROVEN:
        return "unproven"
    named = [(edge.before, edge.after) for edge in outcome.edges]
    if world.found(named):
        return "right"
    true = all(any(before < edge <= after for edge in world.edges) for before, after in named)
    return ("below" if below and not named else "part") if true else "wrong"


def run(cell: PipelineCell, searches: int, seed: int) -> None:
    """Print one row."""
    started = time.monotonic()
    found = [search(cell, seed, number) for number in range(searches)]
    shares = Counter(one.verdict for one in found)
    columns = " ".join(_share(shares[name] / searches, searches) for name in VERDICTS)
    answered = [one for one in found if one.verdict in {"right", "part", "below", "wrong"}]
    silent = sum(one.verdict in {"part", "wrong"} and not one.warned for one in found) / searches
    said = np.mean([one.missed for one in answered]) if answered else math.nan
    boots = np.array([(one.ends, one.search, one.proofs) for one in found], dtype=np.float64)
    total = boots.sum(axis=1)
    print(
        f"{cell.group:9} {cell.kernels:4} {cell.edges} {100 * cell.overlap:5.3g} {100 * cell.spread:4.1f} "
        f"{cell.noise:10} {columns} "
        f"{100 * sum(one.warned for one in found) / searches:5.1f} {_share(silent, searches)} {100 * said:5.1f} "
        f"{boots[:, 0].mean():5.1f} {boots[:, 1].mean():6.1f} {boots[:, 2].mean():6.1f} "
        f"{total.mean():6.1f} ±{total.std() / math.sqrt(searches):3.1f} {np.median(total):5.0f} "
        f"{np.quantile(total, 0.9):5.0f} {time.monotonic() - started:5.0f}s",
        flush=True,
    )


def _share(share: float, of: int) -> str:
    return f"{100 * share:5.1f} ±{100 * math.sqrt(max(share * (1 - share), 1 / of) / of):3.1f}"


def cells() -> Iterator[PipelineCell]:
    """The table."""
    for noise, overlap in itertools.product(NOISES, (0.05, 0.20)):
        yield PipelineCell(group="noise", noise=noise, overlap=overlap)
    for kernels, overlap in itertools.product((30, 100), (0.05, 0.20)):
        yield PipelineCell(group="three", kernels=kernels, edges=3, overlap=overlap)
    for overlap in (0.05, 0.20):
        yield PipelineCell(group="two", edges=2, overlap=overlap)
    for noise in ("gaussian", "outliers"):
        yield PipelineCell(group="none", edges=0, noise=noise)
    # A stretch that differs by little more than the margin, of a calm metric.
    yield PipelineCell(group="near", edges=2, spread=0.02)
    # Differences that lie as far apart as those of a lock that was lost: eight spreads of a calm metric.
    for edges, kernels in ((1, 100), (2, 25), (2, 100), (3, 30), (3, 100)):
        yield PipelineCell(group="clear", kernels=kernels, edges=edges, overlap=3e-5, spread=0.02)
    for noise in NOISES:
        yield PipelineCell(group="nothing", edges=0, noise=noise, spread=0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=30, help="per row (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", metavar="GROUP", help="noise, three, two, none, near, ...")
    arguments = parser.parse_args()
    print((__doc__ or "").splitlines()[0])
    print(f"{arguments.searches} searches per row, seed {arguments.seed}; % of searches ± standard error; boots: means")
    print("warn: of two humps, or that a stretch has been missed with more than 10 %; silent: part or wrong without")
    print("that; said: mean probability stated of a stretch missed, were there one\n")
    print(
        "cell         n K    f%   s% noise           right         part        below        wrong     unproven "
        "     gave up  warn       silent  said  ends search proofs    all       med   90%"
    )
    for cell in cells():
        if not arguments.only or cell.group in arguments.only:
            run(cell, arguments.searches, arguments.seed)


if __name__ == "__main__":
    main()
