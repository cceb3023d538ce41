"""Plausible runs and trials, for tests of what stores and shows them."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from harness.model.experiment import Arm, BlockPlace, Experiment, Place, RungPlace, TrialSpec
from harness.model.guest import MIB, DiskSpec, FilesystemSpec
from harness.model.run import KernelRecord, Run, RunState
from harness.model.trial import Finding, FindingKind, Outcome, Stage, Trial, placed
from harness.model.verdict import Comparison, Decision, Verdict
from harness.model.workload import Direction, Workload
from harness.workloads.registry import METRICS

STARTED = datetime(2026, 11, 22, 19, 34, 5, 123456, tzinfo=UTC)

# Per-boot centres of (baseline, candidate), as on a serialised and a mended kernel (facts: nodatacow, 2 ms NVMe).
CENTRES: dict[str, tuple[float, float]] = {
    "write_iops": (297.0, 1004.0),
    "write_bandwidth": (4.64, 15.7),
    "write_clat_mean": (13_400.0, 3_960.0),
    "write_clat_p50": (12_900.0, 3_700.0),
    "write_clat_p99": (22_100.0, 9_900.0),
    "write_clat_p99_9": (41_000.0, 18_300.0),
    "cpu_per_io": (310.0, 296.0),
    "queue_depth": (1.02, 3.31),
    "dirtied_per_page": (0.021, 0.019),
}

STAGES: dict[Stage, float] = {
    Stage.DISKS: 0.3,
    Stage.BOOT: 5.1,
    Stage.CONNECT: 1.4,
    Stage.PREPARE: 1.9,
    Stage.WARMUP: 1.1,
    Stage.MEASURE: 12.6,
    Stage.CHECK: 1.3,
    Stage.COLLECT: 0.6,
    Stage.SHUTDOWN: 1.2,
}

REASONS: dict[Verdict, str] = {
    Verdict.FASTER: "the interval lies above 1",
    Verdict.SLOWER: "the interval lies below 1",
    Verdict.SAME: "the interval lies within the margin of 5 %",
    Verdict.INCONCLUSIVE: "40 boots are made and the interval still reaches out of the margin",
}

FIO_JOB = b"[global]\nioengine=psync\ndirect=1\nrw=randwrite\nbs=16k\nnumjobs=4\n\n[shared-file]\nfilename=/test/file\n"
DOMAIN_XML = b"<domain type='qemu'>\n  <name>kab</name>\n  <memory unit='MiB'>1024</memory>\n</domain>\n"

PANIC = Finding(
    kind=FindingKind.PANIC,
    message="Kernel panic - not syncing: Fatal exception in interrupt",
    excerpt="Kernel panic - not syncing: Fatal exception in interrupt\n"
    "CPU: 1 PID: 207 Comm: fio <script>alert(1)</script>\nCall Trace:\n btrfs_direct_write+0x1a2/0x3f0 [btrfs]\n"
    " btrfs_file_write_iter+0x9b/0x130 [btrfs]",
    time_s=11.25,
)


def workload() -> Workload:
    """Shared-file direct writes."""
    return Workload(
        name="shared-file",
        title="Direct writes of several threads to one file",
        stands_for="A database or a virtual machine's disk image that several threads write with O_DIRECT.",
        template="shared-file.fio.j2",
        parameters={"threads": 4, "block_bytes": 16384, "file_bytes": 64 * MIB, "engine": "psync", "fill": 0.5},
        deciding=("write_iops", "queue_depth"),
        words=("direct", "DIO"),
    )


def experiment(**changes: object) -> Experiment:
    """The demonstration: Btrfs nodatacow on NVMe with 2 ms."""
    base = Experiment(
        baseline="debian:6.12",
        candidate="debian:7.2",
        workload=workload(),
        disk=DiskSpec(latency_s=0.002),
        filesystem=FilesystemSpec(mount_options=("nodatacow",)),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def kernel(series: str) -> KernelRecord:
    """Debian's kernel of a series."""
    release, version = {
        "6.12": ("6.12.107+deb13-cloud-amd64", "6.12.107-1"),
        "7.2": ("7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1"),
    }[series]
    return KernelRecord(
        spec=f"debian:{series}",
        release=release,
        version=version,
        source="debian",
        digest=("ab" if series == "6.12" else "cd") * 32,
        provenance={"suite": "trixie", "package": f"linux-image-{release} {version}", "sha256": "9" * 64},
    )


def block_spec(block: int, order: int, arm: Arm, *, attempt: int = 0, seed: int = 0) -> TrialSpec[BlockPlace]:
    """A boot of an A/B comparison."""
    return TrialSpec(place=BlockPlace(block=block, order=order, arm=arm, attempt=attempt), seed=seed)


def rung_spec(rung: int, boot: int = 0, *, seed: int = 0) -> TrialSpec[RungPlace]:
    """A boot of a rung."""
    return TrialSpec(place=RungPlace(rung=rung, boot=boot), seed=seed)


def named(spec: TrialSpec[Place]) -> str:
    """A boot's place and seed as text, from which its invented figures are drawn. Another text is other figures."""
    at = spec.place.written
    return f"TrialSpec(block={at.block}, order={at.order}, arm={at.arm!r}, attempt={at.attempt}, seed={spec.seed})"


def trial(
    arm: Arm, block: int, order: int, *, rng: random.Random, centres: Mapping[str, tuple[float, float]] = CENTRES
) -> Trial:
    """One ok boot around `centres`."""
    side = 0 if arm is Arm.BASELINE else 1
    boot = math.exp(rng.gauss(0, 0.06))
    samples: dict[str, tuple[float, ...]] = {}
    for name, centre in centres.items():
        sign = {"queue_depth": 0.1, "dirtied_per_page": 0.5}.get(name, 1.0)
        sign = -sign if "clat" in name or name == "cpu_per_io" else sign
        samples[name] = tuple(centre[side] * boot**sign * math.exp(rng.gauss(0, 0.03 * abs(sign))) for _ in range(3))
    stage_s = {stage: seconds * math.exp(rng.gauss(0, 0.1)) for stage, seconds in STAGES.items()}
    return Trial(
        spec=block_spec(block, order, arm, seed=1000 + block),
        kernel_digest=kernel("6.12" if side == 0 else "7.2").digest,
        outcome=Outcome.OK,
        samples=samples,
        stage_s=stage_s,
        environment={
            "uname": "Linux guest " + kernel("6.12" if side == 0 else "7.2").release,
            "cmdline": "mitigations=off tsc=reliable",
            "mount": "rw,relatime,nodatacow,ssd,space_cache=v2",
            "fio": "fio-3.33",
        },
        artifacts={"domain.xml": DOMAIN_XML, "fio-job": FIO_JOB, "console.log": b"[    0.000000] Linux version\n" * 40},
        started=STARTED + timedelta(seconds=60 * block + 30 * order),
        duration_s=sum(stage_s.values()) + 0.2,
    )


def failed(spec: TrialSpec[Place], outcome: Outcome, message: str, findings: tuple[Finding, ...] = ()) -> Trial:
    """A boot that gave nothing."""
    return Trial(
        spec=spec,
        kernel_digest=kernel("6.12" if spec.place.written.arm is Arm.BASELINE else "7.2").digest,
        outcome=outcome,
        message=message,
        stage_s={Stage.DISKS: 0.3, Stage.BOOT: 8.0},
        findings=findings,
        artifacts={"domain.xml": DOMAIN_XML, "console.log": b"[   11.25] Kernel panic - not syncing <b>\xff\x00\n" * 3},
        started=STARTED,
        duration_s=8.5,
    )


def another_try(trial: Trial[BlockPlace]) -> Trial[BlockPlace]:
    """The same boot, as another try at its place."""
    return placed(trial, replace(trial.place, attempt=trial.place.attempt + 1))


def blocks(count: int, *, seed: int = 1, centres: Mapping[str, tuple[float, float]] = CENTRES) -> tuple[Trial, ...]:
    """`count` complete blocks, arms in random order."""
    rng = random.Random(seed)
    made: list[Trial] = []
    for block in range(count):
        arms = [Arm.BASELINE, Arm.CANDIDATE]
        rng.shuffle(arms)
        made += [trial(arm, block, order, rng=rng, centres=centres) for order, arm in enumerate(arms)]
    return tuple(made)


def run(trials: Sequence[Trial] = (), *, id: str = "20261122-1934-k7f3", **changes: object) -> Run:  # noqa: A002
    """An open run of the demonstration."""
    base = Run(
        id=id,
        verb="ab",
        digest="d1" * 32,
        experiment=experiment(),
        baseline=kernel("6.12"),
        candidate=kernel("7.2"),
        seed=8_140_233,
        conditions={
            "accelerator": "tcg",
            "qemu": "10.0.2",
            "libvirt": "9.0.0",
            "cpu": "AMD EPYC 9R14, 2 threads",
            "image": "trixie-fio 4fd1c0",
        },
        host={"kernel": "6.1.0-56-amd64", "memory": "24 GiB", "load": "0.41", "governor": "none"},
        command=("/usr/bin/kab", "ab", "debian:6.12", "debian:7.2", "--disk", "nvme,backend=nbd,latency=2ms"),
        kab_version="0.2.0",
        created=STARTED,
        trials=tuple(trials),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def finished(some: Run) -> Run:
    """The same, closed."""
    return replace(some, state=RunState.FINISHED, finished=STARTED + timedelta(minutes=5))


def compare(name: str, trials: Sequence[Trial], *, error: float = 0.01, half_width: float = 0.12) -> Comparison:
    """A comparison with the right shape for `trials`; its interval is made up, its ratio is not far off."""

    def boots(arm: Arm) -> list[float]:
        return sorted(
            sorted(t.samples[name])[len(t.samples[name]) // 2]
            for t in trials
            if t.place.arm is arm and t.outcome is Outcome.OK and t.samples.get(name)
        )

    sides = [boots(Arm.BASELINE), boots(Arm.CANDIDATE)]
    middle = [side[len(side) // 2] if side else None for side in sides]
    count = min(len(side) for side in sides)
    if middle[0] is None or middle[1] is None:
        return Comparison(
            metric=name, blocks=0, baseline=middle[0], candidate=middle[1], ratio=None, low=None, high=None,
            error=error, spread=None, verdict=Verdict.INCONCLUSIVE,
        )  # fmt: skip
    ratio = middle[1] / middle[0]
    low, high = ratio * math.exp(-half_width), ratio * math.exp(half_width)
    better = 1 if METRICS[name].direction is Direction.HIGHER else -1
    verdict = Verdict.INCONCLUSIVE
    if low > 1.05:
        verdict = Verdict.FASTER if better > 0 else Verdict.SLOWER
    elif high < 1 / 1.05:
        verdict = Verdict.SLOWER if better > 0 else Verdict.FASTER
    elif low > 1 / 1.05 and high < 1.05:
        verdict = Verdict.SAME
    return Comparison(
        metric=name, blocks=count, baseline=middle[0], candidate=middle[1], ratio=ratio, low=low, high=high,
        error=error, spread=0.06 if count > 1 else None, verdict=verdict,
    )  # fmt: skip


def decide(trials: Sequence[Trial], *, metric: str = "write_iops", half_width: float = 0.12) -> Decision:
    """A final decision on `trials`."""
    comparisons = {name: compare(name, trials, half_width=half_width) for name in CENTRES}
    verdict = comparisons[metric].verdict
    return Decision(
        verdict=verdict,
        metric=metric,
        how="separates the arms best of 2 (error split)",
        reason=REASONS[verdict],
        final=True,
        comparisons=comparisons,
    )
