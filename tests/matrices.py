"""Plausible matrices with their cells, for tests of what tells of them and what exports them."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import factories

from harness.errors import ExitCode
from harness.model.experiment import Arm, Experiment
from harness.model.guest import DiskBackend, DiskBus, DiskSpec, FilesystemSpec
from harness.model.matrix import (
    Cell,
    CellResult,
    CellVerdict,
    CellView,
    Ending,
    FailKind,
    GatePolicy,
    MatrixOutcome,
    MatrixPlan,
    MatrixView,
    MetricVerdict,
    Waiver,
)
from harness.model.run import Parent, Run, RunState, SubrunRole
from harness.model.trial import Finding, FindingKind, Outcome, Trial
from harness.model.verdict import Comparison, Decision, Verdict

GATE_ID = "20261124-2310-g4te"
STARTED = datetime(2026, 11, 24, 23, 10, 3, 250_000, tzinfo=UTC)

WORKLOADS = ("shared-dio", "database-pages")
FILESYSTEMS = {
    "btrfs": FilesystemSpec(mount_options=("nodatacow",)),
    "ext4": FilesystemSpec(type="ext4"),
}
DISKS = {
    "nvme": DiskSpec(latency_s=0.002),
    "virtio": DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.NBD, latency_s=0.002),
}
AXES = ("workload", "fs", "disk")
# The metrics that count in a gate, and how much worse each may be.
MARGINS = {"write_iops": 0.05, "write_clat_p99": 0.10}

WAIVER = Waiver(
    cells="database-pages/btrfs/*",
    metrics="write_iops",
    bound=0.12,
    owner="storage@distribution.example",
    reason="known since 7.1, a fix is under review",
    until=date(2027, 1, 31),
    where="waivers.yaml:4",
)

# What no format may trip over: controls, ends of markup, lines, what KTAP and spreadsheets obey, great length.
HOSTILE = (
    "panic \x00\x07\x1b[31m]]> <script>alert(1)</script> & \"quoted\" 'so'\nok 1 - forged # SKIP not so\r\n"
    "\x85\u2028\u202e # a - b \ud800 \ufffe \U0001f4a9 \\ = @ +1 | ; ,\t" + "very long " * 600
)
# How foreign texts can begin in a cell of a spreadsheet.
FORMULAS = ('=cmd|"/c calc"!A1', "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1")

CONSOLE = (
    b"[    0.000000] Linux version 7.2.12+deb13-cloud-amd64 (debian-kernel@lists.debian.org)\n"
    b"[    9.871002] BTRFS info (device nvme0n1): first mount of filesystem 5e1f\n"
    b"[   11.250117] Kernel panic - not syncing: Fatal exception in interrupt\n"
    b"[   11.250342] Call Trace:\n"
    b"[   11.250518]  btrfs_direct_write+0x1a2/0x3f0 [btrfs]\n"
    b"[   11.250611]  <b>\xff\x00]]>\n"
)

NEW_WARNING = Finding(
    kind=FindingKind.WARNING,
    message="WARNING: CPU: 1 PID: 207 at fs/btrfs/inode.c:4207 btrfs_finish_one_ordered+0x2f1/0x7c0 [btrfs]",
    excerpt="WARNING: CPU: 1 PID: 207 at fs/btrfs/inode.c:4207 btrfs_finish_one_ordered+0x2f1/0x7c0 [btrfs]\n"
    "Call Trace:\n btrfs_work_helper+0xd9/0x3a0 [btrfs]",
    time_s=12.5,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What comes of an invented cell: how fast the candidate is beside the baseline, and what is said of it."""

    verdict: CellVerdict
    reason: str
    # Candidate / baseline by metric; of the latencies the inverse is a speed.
    ratios: Mapping[str, float] = field(default_factory=dict)
    blocks: int = 4
    # Half the width of the made-up interval, of the logarithm of the ratio.
    half_width: float = 0.03
    # Verdict of each metric; else the cell's own.
    by_metric: Mapping[str, CellVerdict] = field(default_factory=dict)
    waiver: Waiver | None = None
    fails: tuple[FailKind, ...] = ()
    trouble: ExitCode | None = None
    # Boots of the candidate that came to nothing, after those of the blocks.
    broken: tuple[Trial, ...] = ()


def crash(block: int, attempt: int = 0, *, message: str = factories.PANIC.message) -> Trial:
    """A boot of the candidate that panics, with the console's end."""
    made = factories.failed(
        factories.block_spec(block, 1, Arm.CANDIDATE, attempt=attempt, seed=1000 + block),
        Outcome.CRASHED,
        message,
        (replace(factories.PANIC, message=message), NEW_WARNING),
    )
    return replace(made, artifacts={**made.artifacts, "console.log": CONSOLE})


def lost(block: int) -> Trial:
    """A boot that the host lost."""
    spec = factories.block_spec(block, 0, Arm.BASELINE, seed=1000 + block)
    return factories.failed(spec, Outcome.LOST, "QEMU was killed (signal 9)")


NOT_WORSE = Fate(
    verdict=CellVerdict.NOT_WORSE,
    reason="write_iops and write_clat_p99 are not worse than their margins",
    ratios={"write_iops": 1.31, "write_clat_p99": 0.8},
)
SLOWER = Fate(
    verdict=CellVerdict.SLOWER,
    reason="write_iops is worse than 5 %: -24 %",
    ratios={"write_iops": 0.76, "write_clat_p99": 1.02},
    by_metric={"write_clat_p99": CellVerdict.NOT_WORSE},
)
WAIVED = Fate(
    verdict=CellVerdict.SLOWER,
    reason="write_iops is worse than 5 %: -9.5 %; waived up to 12 %",
    ratios={"write_iops": 0.905, "write_clat_p99": 0.99},
    by_metric={"write_clat_p99": CellVerdict.NOT_WORSE},
    waiver=WAIVER,
)
OPEN = Fate(
    verdict=CellVerdict.INCONCLUSIVE,
    reason="the budget of 120 boots is spent, and write_clat_p99 may still be worse than 10 %",
    ratios={"write_iops": 1.0, "write_clat_p99": 1.05},
    half_width=0.2,
    by_metric={"write_iops": CellVerdict.NOT_WORSE},
    broken=(lost(4),),
)
FAULTY = Fate(
    verdict=CellVerdict.FAULTY,
    reason=f"the candidate crashes: {factories.PANIC.message}",
    ratios={},
    blocks=1,
    fails=(FailKind.FAULT, FailKind.WARNING),
    broken=(crash(1), crash(1, attempt=1)),
)
LOST = Fate(
    verdict=CellVerdict.UNMEASURED,
    reason="cannot start nbdkit: No space left on device",
    trouble=ExitCode.HOST,
)
GONE = Fate(
    verdict=CellVerdict.UNMEASURED,
    reason="no suite offers debian:7.2 any more",
    trouble=ExitCode.USAGE,
)
FASTER = Fate(
    verdict=CellVerdict.FASTER,
    reason="the interval lies above 1",
    ratios={"write_iops": 3.38},
)
SAME = Fate(
    verdict=CellVerdict.SAME,
    reason="write_iops agrees within 5 %",
    ratios={"write_iops": 1.004},
)

# The cells of a gate, in the order of its axes.
GATE = (NOT_WORSE, SLOWER, OPEN, NOT_WORSE, WAIVED, FAULTY, LOST, GONE)
# Those of a `kab run`, where each cell has a verdict of its own.
PLAIN = (FASTER, SAME, SLOWER, OPEN, FASTER, FAULTY, LOST, GONE)


def cells() -> tuple[Cell, ...]:
    """2 workloads x 2 filesystems x 2 disks."""
    return tuple(
        Cell(
            name=f"{workload}/{fs}/{disk}",
            axes=dict(zip(AXES, (workload, fs, disk), strict=True)),
            experiment=_experiment(workload, FILESYSTEMS[fs], DISKS[disk]),
        )
        for workload in WORKLOADS
        for fs in FILESYSTEMS
        for disk in DISKS
    )


def gate(fates: Sequence[Fate] = GATE, **changes: object) -> MatrixView:
    """A gate of eight cells that is over, with one of each verdict that gates have."""
    plan = MatrixPlan(
        title="release gate",
        cells=cells(),
        policy=GatePolicy(margins=MARGINS, max_boots=120, max_time_s=4 * 3600.0),
        waivers=(WAIVER,),
    )
    return view(plan, fates, verb="gate", **changes)


def matrix_run(fates: Sequence[Fate] = PLAIN, **changes: object) -> MatrixView:
    """A `kab run` of eight cells that is over."""
    return view(MatrixPlan(title="nightly", cells=cells()), fates, verb="run", run_id="20261124-2111-m4tx", **changes)


def unfinished() -> MatrixView:
    """A gate of which three cells have boots, and one of those is decided."""
    waiting = Fate(verdict=CellVerdict.INCONCLUSIVE, reason="no boot is made yet")
    made = gate((NOT_WORSE, OPEN, OPEN, *[waiting] * 5))
    run = replace(made.run, state=RunState.OPEN, finished=None)
    return replace(made, run=run, open=True)


def alone(fate: Fate = SLOWER) -> MatrixView:
    """An A/B run alone, as a matrix of one cell."""
    cell = Cell(name="shared-dio", axes={}, experiment=factories.experiment())
    made = _cell(cell, fate, number=0, parent=None)
    assert made.run is not None
    return MatrixView(
        run=made.run,
        plan=MatrixPlan(title="shared-dio", cells=(cell,)),
        outcome=MatrixOutcome(
            cells=(made.result,), boots=made.result.boots, duration_s=_duration_s([made]), ending=Ending.DONE
        ),
        cells=(made,),
    )


def hostile() -> MatrixView:
    """A gate whose texts of guests, kernels and users try to be markup, lines, directives and formulas."""
    waiver = replace(WAIVER, owner=HOSTILE, reason=HOSTILE, where=f"{HOSTILE}:1")
    fates = (
        replace(NOT_WORSE, reason=HOSTILE),
        replace(SLOWER, reason=HOSTILE),
        replace(OPEN, reason=HOSTILE),
        replace(NOT_WORSE, reason=FORMULAS[0]),
        replace(WAIVED, reason=HOSTILE, waiver=waiver),
        replace(FAULTY, reason=HOSTILE, broken=(crash(1, message=HOSTILE), crash(1, attempt=1, message=FORMULAS[1]))),
        replace(LOST, reason=HOSTILE),
        replace(GONE, reason=FORMULAS[2]),
    )
    plan = MatrixPlan(title=f"gate {HOSTILE[:60]}", cells=_renamed(cells()), policy=GatePolicy(margins=MARGINS))
    return view(plan, fates, verb="gate")


def large(count: int, *, fates: Sequence[Fate] = GATE, blocks: int = 5) -> MatrixView:
    """A gate of many cells, all of the eight fates in turn."""
    eight = cells()
    many = tuple(
        replace(
            eight[place % 8], name=f"{eight[place % 8].name}/{place}", axes={**eight[place % 8].axes, "n": f"{place}"}
        )
        for place in range(count)
    )
    plan = MatrixPlan(title="many", cells=many, policy=GatePolicy(margins=MARGINS))
    of_each = [fate if fate.trouble else replace(fate, blocks=blocks) for fate in fates]
    return view(plan, [of_each[place % len(of_each)] for place in range(count)], verb="gate")


def view(plan: MatrixPlan, fates: Sequence[Fate], *, verb: str, run_id: str = GATE_ID, **changes: object) -> MatrixView:
    """The matrix of `plan` of whose cells each has its fate."""
    made = tuple(
        _cell(cell, fate, number=number, parent=run_id, policy=plan.policy)
        for number, (cell, fate) in enumerate(zip(plan.cells, fates, strict=True))
    )
    run = factories.run(
        id=run_id,
        verb=verb,
        digest="e5" * 32,
        experiment=plan.cells[0].experiment,
        command=("/usr/bin/kab", verb, "configs/experiments/gate.yaml"),
        created=STARTED,
        state=RunState.FINISHED,
        finished=STARTED + timedelta(seconds=_duration_s(made)),
    )
    outcome = MatrixOutcome(
        cells=tuple(cell.result for cell in made),
        ending=Ending.BOOTS if any(fate is OPEN for fate in fates) else Ending.DONE,
        boots=sum(cell.result.boots for cell in made),
        duration_s=_duration_s(made),
    )
    return replace(MatrixView(run=run, plan=plan, outcome=outcome, cells=made), **changes)  # type: ignore[arg-type]


def _experiment(workload: str, filesystem: FilesystemSpec, disk: DiskSpec) -> Experiment:
    return factories.experiment(
        workload=replace(factories.workload(), name=workload), filesystem=filesystem, disk=disk, error=0.05
    )


def _renamed(some: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells by names that are the same once all that is special is taken out of them, and one that is long."""
    names = ("a b/c", "a-b/c", "a_b/c", "a.b/c", "A B/c", "\xe4 b/c", "# SKIP - x", "x" * 200)
    return tuple(replace(cell, name=name) for cell, name in zip(some, names, strict=True))


def _cell(cell: Cell, fate: Fate, *, number: int, parent: str | None, policy: GatePolicy | None = None) -> CellView:
    if fate.trouble is not None:
        found = None if fate.trouble is ExitCode.USAGE else factories.kernel("7.2")
        result = CellResult(
            cell=cell.name,
            verdict=fate.verdict,
            reason=fate.reason,
            baseline=factories.kernel("6.12"),
            candidate=found,
            trouble=fate.trouble,
        )
        return CellView(cell=cell, result=result)
    run = _cell_run(cell, fate, number=number, parent=parent)
    made = run.trials if fate.ratios or fate.broken else ()
    if not made:
        return CellView(cell=cell, result=CellResult(cell=cell.name, verdict=fate.verdict, reason=fate.reason))
    decision = _decision(fate, run.block_trials)
    margins = MARGINS if policy else {"write_iops": cell.experiment.margin}
    result = CellResult(
        cell=cell.name,
        verdict=fate.verdict,
        reason=fate.reason,
        metrics=tuple(
            MetricVerdict(
                metric=metric,
                margin=margin,
                verdict=fate.by_metric.get(metric, fate.verdict),
                comparison=decision.comparisons[metric],
                waiver=fate.waiver if fate.by_metric.get(metric, fate.verdict) is CellVerdict.SLOWER else None,
            )
            for metric, margin in margins.items()
            if fate.verdict is not CellVerdict.FAULTY
        ),
        run_id=run.id,
        baseline=run.baseline,
        candidate=run.candidate,
        boots=len(made),
        fails=fate.fails,
        waiver=fate.waiver,
    )
    return CellView(cell=cell, result=result, run=run, decision=decision)


def _cell_run(cell: Cell, fate: Fate, *, number: int, parent: str | None) -> Run:
    rng = random.Random(number)
    centres = {}
    for metric, (baseline, _) in factories.CENTRES.items():
        centres[metric] = (baseline, baseline * fate.ratios.get(metric, 1.0))
    made: list[Trial] = []
    for block in range(fate.blocks if fate.ratios or fate.broken else 0):
        arms = [Arm.BASELINE, Arm.CANDIDATE]
        rng.shuffle(arms)
        made += [factories.trial(arm, block, order, rng=rng, centres=centres) for order, arm in enumerate(arms)]
    run = factories.run(
        (*made, *fate.broken),
        id=f"20261124-{2311 + number // 60:04d}-c{number:03d}",
        digest=f"{number:04x}" * 16,
        experiment=cell.experiment,
        created=STARTED + timedelta(minutes=number),
        parent=Parent(run_id=parent, role=SubrunRole.CELL, place=cell.name) if parent else None,
    )
    return replace(run, state=RunState.FINISHED, finished=STARTED + timedelta(minutes=number + 5))


def _decision(fate: Fate, trials: Sequence[Trial]) -> Decision:
    decided = factories.decide(trials)
    exact = {metric: _exact(found, fate) for metric, found in decided.comparisons.items()}
    plain = {CellVerdict.FASTER: Verdict.FASTER, CellVerdict.SAME: Verdict.SAME, CellVerdict.SLOWER: Verdict.SLOWER}
    return replace(
        decided, verdict=plain.get(fate.verdict, Verdict.INCONCLUSIVE), reason=fate.reason, comparisons=exact
    )


def _exact(found: Comparison, fate: Fate) -> Comparison:
    """The comparison with the ratio that its fate is, as its boots scatter around it."""
    if found.baseline is None or not fate.ratios:
        return found
    ratio = fate.ratios.get(found.metric, 1.0)
    low, high = ratio * math.exp(-fate.half_width), ratio * math.exp(fate.half_width)
    return replace(found, candidate=found.baseline * ratio, ratio=ratio, low=low, high=high)


def _duration_s(some: Sequence[CellView]) -> float:
    return sum(trial.duration_s for cell in some if cell.run for trial in cell.run.trials)
