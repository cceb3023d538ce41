"""After the nights: a step is told once, by an A/B of the two kernels beside it; noise is not; fixed ones come back."""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories import experiment, failed, named
from labs import InventedBench, InventedKernels, InventedLab
from ladders import kernel

from harness.errors import ConfigError, HostError
from harness.interfaces import NullProgress
from harness.lab.confirming import suspected
from harness.model.alarm import Alarm, AlarmEvent, AlarmState
from harness.model.experiment import Arm, Experiment, TrialSpec
from harness.model.guest import Accelerator
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, GatePolicy, MatrixPlan
from harness.model.run import Parent, Run, SubrunRole
from harness.model.trial import Outcome, Trial
from harness.plan import trial_specs
from harness.run.boots import record_of

pytestmark = pytest.mark.unit

BOOTS = 6
START = datetime.now(UTC) - timedelta(days=100)


@dataclass
class Nights:
    """Kernels 6.12.1, 6.12.2, ... whose speed changes at some of them; boots with 2 % noise."""

    # Number of a kernel -> factor of write_iops from there on.
    steps: Mapping[int, float] = field(default_factory=dict)
    # The host is so much slower in these nights, for all kernels.
    slow_nights: Mapping[int, float] = field(default_factory=dict)
    dead: frozenset[int] = frozenset()
    made: list[str] = field(default_factory=list)

    def __call__(self, asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        self.made.append(f"{booted.version} {spec.place.arm}")
        return self.trial(spec, booted, f"{asked.baseline} {asked.candidate}")

    def trial(self, spec: TrialSpec, booted: Kernel, about: str, factor: float = 1.0) -> Trial:
        number = int(booted.version.split(".")[2])
        if number in self.dead:
            return replace(failed(spec, Outcome.CRASHED, "it broke"), kernel_digest=booted.digest)
        speed = factor * math.prod(step for at, step in self.steps.items() if number >= at)
        rng = random.Random(f"{about} {named(spec)} {booted.version}")
        value = 1000.0 * speed * math.exp(rng.gauss(0, 0.02))
        samples = {"write_iops": (value,), "write_clat_mean": (4e6 / value,), "queue_depth": (3.0,)}
        return Trial(spec=spec, kernel_digest=booted.digest, outcome=Outcome.OK, samples=samples, duration_s=20.0)


class Kernels(InventedKernels):
    def __init__(self) -> None:
        self.gone: set[str] = set()

    def resolve(self, spec: str) -> Kernel:
        version = spec.removesuffix("-cloud-amd64")
        if version in self.gone:
            raise ConfigError(f"{spec} is gone")
        return replace(kernel(version), spec=spec)


class Notes(NullProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@dataclass
class Rig:
    """A store of nights, and a laboratory that measures."""

    lab: InventedLab
    world: Nights
    notes: Notes
    plan: MatrixPlan

    @property
    def bench(self) -> InventedBench:
        return InventedBench(self.world, Accelerator.KVM)  # type: ignore[arg-type]

    def night(self, number: int, *, host: str = "one") -> Run:
        """The matrix of a night, which measured kernel 6.12.NUMBER."""
        store = self.lab.store
        created = START + timedelta(days=number)
        booted = kernel(f"debian:6.12.{number}")
        base = {
            "baseline": record_of(kernel("debian:6.12.0")),
            "candidate": record_of(booted),
            "seed": 1,
            "conditions": {"host_cpu": host},
            "host": {},
            "command": (),
            "kab_version": "1",
            "created": created,
        }
        matrix = Run(id=f"night-{number}", verb="nightly", digest=f"n{number}", experiment=experiment(), **base)
        store.matrices.create(matrix, self.plan)
        for cell in self.plan.cells:
            run = Run(
                id=f"{matrix.id}-{cell.name.replace('/', '-')}",
                verb="ab",
                digest=f"{number} {cell.name}",
                experiment=cell.experiment,
                parent=Parent(run_id=matrix.id, role=SubrunRole.CELL, place=cell.name),
                **base,
            )
            store.create_run(run)
            for block in range(BOOTS):
                for spec in trial_specs(number, block):
                    if spec.place.arm is Arm.CANDIDATE:
                        factor = self.world.slow_nights.get(number, 1.0)
                        store.append_trial(run.id, self.world.trial(spec, booted, run.id, factor))
        return matrix

    def screened(self, number: int, **more: object) -> tuple[Alarm, ...]:
        return self.lab.screen_and_confirm(self.night(number), bench=self.bench, **more)


def cells(*names: str) -> MatrixPlan:
    asked = experiment(metric="auto", max_boots=2 * BOOTS)
    asked = replace(asked, workload=replace(asked.workload, deciding=("write_iops", "write_clat_mean", "queue_depth")))
    return MatrixPlan(
        title="nightly",
        cells=tuple(
            Cell(name=f"debian:6.12/{name}", axes={"series": "debian:6.12", "fs": name}, experiment=asked)
            for name in names
        ),
    )


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    world, notes = Nights(), Notes()
    with InventedLab(
        notes,
        world=world,
        accelerator=Accelerator.KVM,
        benches=[],
        lister=None,  # type: ignore[arg-type]
    ) as lab:
        lab.__dict__["kernels"] = Kernels()
        yield Rig(lab=lab, world=world, notes=notes, plan=cells("btrfs"))


def test_a_step_is_told_once_by_an_a_b_of_both_kernels(rig: Rig) -> None:
    rig.world.steps = {12: 0.9}
    told = [alarm for number in range(1, 20) for alarm in rig.screened(number)]
    [alarm] = told
    assert (alarm.name.cell, alarm.name.series, alarm.worse) == ("btrfs", "debian:6.12", True)
    assert (alarm.before.version, alarm.after.version) == ("6.12.11", "6.12.12")
    assert alarm.comparison.metric == alarm.name.metric
    assert alarm.comparison.ratio == pytest.approx(0.9 if alarm.name.metric == "write_iops" else 1 / 0.9, abs=0.03)
    # The other metric of the same boots goes with it, and the baseline of the night is not what it is compared with.
    assert {alarm.name.metric, *(other.metric for other in alarm.others)} == {"write_iops", "write_clat_mean"}
    assert {made.split()[0] for made in rig.world.made} == {"6.12.11", "6.12.12"}
    run = rig.lab.store.run(alarm.confirmed_by)
    assert run.parent == Parent(
        run_id="night-12", role=SubrunRole.CONFIRMATION, place=f"debian:6.12/btrfs {alarm.name.metric}"
    )
    assert (run.experiment.margin, run.experiment.error, run.experiment.max_boots) == (0.025, 0.01, 40)
    assert len(run.trials) == len(rig.world.made) <= 40
    assert rig.lab.store.alarms.all().alarms == (alarm,)
    assert all(asked.confirmed for asked in rig.lab.store.alarms.asked())


def test_a_slow_night_of_the_host_is_told_nobody(rig: Rig) -> None:
    rig.world.slow_nights = {15: 0.93}
    assert [alarm for number in range(1, 22) for alarm in rig.screened(number)] == []
    asked = rig.lab.store.alarms.asked()
    assert asked
    assert not any(one.confirmed for one in asked)
    assert "not confirmed" in " ".join(rig.notes.notes)
    # It is not asked for again each night: once as it comes, and once as it goes.
    runs = {one.run_id for one in asked}
    assert len(runs) <= 3


def test_another_host_is_no_change(rig: Rig) -> None:
    rig.world.slow_nights = dict.fromkeys(range(10, 20), 0.8)
    for number in range(1, 20):
        run = rig.night(number, host="other" if number >= 10 else "one")
        assert suspected(rig.lab, run) == ()


def test_what_is_fixed_and_is_not_comes_again(rig: Rig) -> None:
    rig.world.steps = {12: 0.9}
    [alarm] = [alarm for number in range(1, 14) for alarm in rig.screened(number)]
    fixed = AlarmEvent(state=AlarmState.FIXED, at=START + timedelta(days=13, hours=1), note="6.12.14")
    rig.lab.store.alarms.append(alarm.id, fixed)
    [again] = [found for number in range(14, 20) for found in rig.screened(number)]
    assert again.id == alarm.id
    assert [event.state for event in again.events] == [AlarmState.NEW, AlarmState.FIXED, AlarmState.NEW]
    assert "confirmed again by" in again.events[-1].note
    assert rig.lab.store.alarms.all().alarms == (again,)


def test_what_is_fixed_stays_so_and_the_fix_is_told(rig: Rig) -> None:
    rig.world.steps = {12: 0.9, 16: 1 / 0.9}
    told = [alarm for number in range(1, 17) for alarm in rig.screened(number)]
    assert [(alarm.worse, alarm.after.version) for alarm in told] == [(True, "6.12.12"), (False, "6.12.16")]
    fixed = AlarmEvent(state=AlarmState.FIXED, at=START + timedelta(days=16, hours=1))
    rig.lab.store.alarms.append(told[0].id, fixed)
    assert [alarm for number in range(17, 24) for alarm in rig.screened(number)] == []


def test_the_budget_takes_the_clearest_first_and_the_rest_comes_again(rig: Rig) -> None:
    rig.plan = cells("btrfs", "ext4", "xfs")
    rig.world.steps = {12: 0.9}
    told = []
    for number in range(1, 12):
        told += rig.screened(number, max_confirmations=1)
    assert told == []
    nights = [rig.screened(number, max_confirmations=1) for number in range(12, 16)]
    assert [len(alarms) for alarms in nights] == [1, 1, 1, 0]
    assert {alarm.name.cell for alarms in nights for alarm in alarms} == {"btrfs", "ext4", "xfs"}
    assert len({alarm.id for alarms in nights for alarm in alarms}) == 3
    assert "the next night asks" in " ".join(rig.notes.notes)


def test_a_killed_confirmation_goes_on(rig: Rig) -> None:
    rig.world.steps = {12: 0.9}
    for number in range(1, 12):
        rig.screened(number)
    run = rig.night(12)

    class Killed(Nights):
        def __call__(self, *asked: object) -> Trial:
            if len(self.made) == 5:
                raise KeyboardInterrupt
            return super().__call__(*asked)  # type: ignore[arg-type]

    killed = Killed(steps=rig.world.steps)
    with pytest.raises(KeyboardInterrupt):
        rig.lab.screen_and_confirm(run, bench=InventedBench(killed, Accelerator.KVM))  # type: ignore[arg-type]
    [alarm] = rig.lab.screen_and_confirm(run, bench=rig.bench)
    assert len(rig.lab.store.run(alarm.confirmed_by).trials) == len(rig.world.made) + 5
    # Killed after the A/B and before anything was said: nothing is booted again.
    made = len(rig.world.made)
    assert rig.lab.screen_and_confirm(run, bench=rig.bench) == ()
    assert len(rig.world.made) == made


def test_what_cannot_be_confirmed_stops_nothing(rig: Rig) -> None:
    rig.world.steps = {12: 0.9}
    for number in range(1, 12):
        rig.screened(number)
    rig.lab.kernels.gone.add("debian:6.12.11")
    assert rig.screened(12) == ()
    assert "debian:6.12.11-cloud-amd64 is gone" in " ".join(rig.notes.notes)
    rig.lab.kernels.gone.clear()
    assert len(rig.screened(13)) == 1


def test_a_host_that_is_gone_loses_no_night(rig: Rig) -> None:
    rig.world.steps = {12: 0.9}
    for number in range(1, 12):
        rig.screened(number)
    run = rig.night(12)

    class Gone(Nights):
        def __call__(self, *_: object) -> Trial:
            raise HostError("the disk is full")

    assert rig.lab.screen_and_confirm(run, bench=InventedBench(Gone(), Accelerator.KVM)) == ()  # type: ignore[arg-type]
    assert "the disk is full" in " ".join(rig.notes.notes)
    assert len(rig.lab.screen_and_confirm(run, bench=rig.bench)) == 1


def test_a_kernel_that_fails_in_the_a_b_confirms_nothing(rig: Rig) -> None:
    rig.world.steps = {12: 0.9}
    for number in range(1, 12):
        rig.screened(number)
    run = rig.night(12)
    rig.world.dead = frozenset({12})
    assert rig.lab.screen_and_confirm(run, bench=rig.bench) == ()


def test_only_series_with_a_new_night_are_screened(rig: Rig) -> None:
    rig.world.steps = {12: 0.9}
    for number in range(1, 12):
        rig.night(number)
    rig.night(12)
    empty = replace(rig.lab.store.run("night-12"), id="night-again", digest="again", trials=())
    rig.lab.store.matrices.create(empty, rig.plan)
    assert suspected(rig.lab, empty) == ()
    assert len(suspected(rig.lab, rig.lab.store.run("night-12"))) == 1


def test_metrics_that_are_watched(rig: Rig) -> None:
    """The one that decides, those of the gate, else the speeds that may decide; never a witness."""
    rig.world.steps = {12: 0.9}

    def metrics(plan: MatrixPlan) -> set[str]:
        [one] = suspected(rig.lab, rig.lab.store.run("night-12"))
        return {one.name.metric, *(name.metric for name, _ in one.others)}

    for number in range(1, 13):
        rig.night(number)
    assert metrics(rig.plan) == {"write_iops", "write_clat_mean"}
    for changed, expected in (
        (replace(rig.plan, policy=GatePolicy(margins={"*clat*": 0.1})), {"write_clat_mean"}),
        (
            replace(
                rig.plan,
                cells=tuple(replace(cell, experiment=replace(cell.experiment, metric="write_iops"))
                            for cell in rig.plan.cells),
            ),
            {"write_iops"},
        ),
    ):  # fmt: skip
        rig.lab.store.matrices.replan("night-12", changed)
        assert metrics(changed) == expected


def test_what_is_no_matrix(rig: Rig) -> None:
    run = rig.night(1)
    cell = rig.lab.store.run(f"{run.id}-debian:6.12-btrfs")
    with pytest.raises(ConfigError, match="is no matrix"):
        suspected(rig.lab, cell)
