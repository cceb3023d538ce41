"""How often a nightly series alarms for nothing, how soon a step is told, and what confirming costs. No guests; seeded.

    python benchmarks/changepoint_sim.py [--cell-nights 20000] [--steps 400] [--seed 1]

A series has 10 boots a night with 2 % noise each, a slow drift (3 % up and down in 120 nights, and a random walk), and
every 60 nights another host: another level, and other conditions. Each night harness.stats.changepoints.screen looks
at the series as `kab nightly` lets it, and what it suspects is put to an interleaved A/B at once: boots of both kernels
with the same noise, in the order of harness.plan, until harness.stats.decide is final. What is confirmed is told; what
is refuted is remembered.

First table, no kernel differs: suspicions, boots of their A/Bs and false alarms in 1,000 cell-nights. Second table, one
kernel and all after it are slower: how many such steps are told on the first night, and within three.
"""

import argparse
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy import stats

from harness.model.alarm import Asked, Change, Night, SeriesName
from harness.model.experiment import BlockPlace, Experiment
from harness.model.run import KernelRecord
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Decision, Stop
from harness.model.workload import Direction, Metric, Workload
from harness.plan import next_trial
from harness.stats.changepoints import confirmation, confirmed, minimal_effect, screen
from harness.stats.decide import decide

METRIC = Metric(name="simulated", unit="", direction=Direction.HIGHER, title="simulated")
EXPERIMENT = Experiment(
    baseline="", candidate="", workload=Workload(name="simulated", title="", stands_for="", deciding=("simulated",)),
    metric="simulated",
)  # fmt: skip
NAME = SeriesName(matrix="simulated", cell="simulated", series="simulated", metric="simulated")
BOOTS, NOISE, HOST_NIGHTS = 10, 0.02, 60
# What `kab nightly` looks at: harness.lab.alarms.
WINDOW, RECENT = 180, 30
START = datetime(2026, 1, 1, tzinfo=UTC)
NOISES = ("gaussian", "student", "ar", "nights")
TITLES = {
    "gaussian": "Gaussian boots",
    "student": "Student's t of 3 degrees",
    "ar": "AR(.3) from boot to boot",
    "nights": "each night off by 1 %, AR(.3)",
}


class Boots:
    """Log values of boots in the order they are made."""

    def __init__(self, kind: str, rng: np.random.Generator) -> None:
        self.kind, self.rng, self.last = kind, rng, 0.0

    def draw(self) -> float:
        """The next boot's noise, of standard deviation NOISE."""
        if self.kind == "student":
            return NOISE * float(self.rng.standard_t(3)) / math.sqrt(3)
        fresh = float(self.rng.standard_normal())
        if self.kind == "ar":
            self.last = 0.3 * self.last + math.sqrt(1 - 0.09) * fresh
            return NOISE * self.last
        return NOISE * fresh


def kernel(index: int) -> KernelRecord:
    return KernelRecord(
        spec=f"debian:{index}", release=f"{index}", version="", source="debian", digest=f"{index}", provenance={}
    )


@dataclass
class Series:
    """A cell's nights, made one by one."""

    kind: str
    rng: np.random.Generator
    # Log ratio from this night on.
    step: float = 0.0
    step_at: int = 10**9
    nights: list[Night] = field(default_factory=list)
    walk: float = 0.0
    shift: float = 0.0
    host: float = 0.0

    def __post_init__(self) -> None:
        self.boots = Boots(self.kind, self.rng)
        self.phase = float(self.rng.uniform(0, 2 * math.pi))

    def add(self) -> None:
        index = len(self.nights)
        if index % HOST_NIGHTS == 0:
            self.host = float(self.rng.normal(0, 0.05))
        self.walk += float(self.rng.normal(0, 0.0005))
        self.shift = 0.3 * self.shift + math.sqrt(1 - 0.09) * float(self.rng.standard_normal())
        level = self.host + self.walk + 0.03 * math.sin(self.phase + 2 * math.pi * index / 120)
        level += 0.01 * self.shift if self.kind == "nights" else 0.0
        level += self.step if index >= self.step_at else 0.0
        self.nights.append(
            Night(
                run_id=f"{index}",
                created=START + timedelta(days=index),
                kernel=kernel(index),
                conditions=(("host", f"{index // HOST_NIGHTS}"),),
                values=tuple(1000 * math.exp(level + self.boots.draw()) for _ in range(BOOTS)),
            )
        )

    def compare(self, change: Change) -> tuple[Decision, int]:
        """An interleaved A/B of both kernels, and its boots."""
        experiment = confirmation(EXPERIMENT, METRIC.name)
        effect = self.step if int(change.before.release) < self.step_at <= int(change.after.release) else 0.0
        seed, trials = int(self.rng.integers(2**32)), list[Trial[BlockPlace]]()
        while True:
            planned = next_trial(trials, seed=seed, max_boots=experiment.max_boots, confirm=False)
            decision = decide(experiment, {METRIC.name: METRIC}, trials) if len(trials) % 2 == 0 else None
            if decision is not None and (decision.final or isinstance(planned, Stop)):
                return decision, len(trials)
            assert not isinstance(planned, Stop)
            value = math.exp(self.boots.draw() + (effect if planned.place.arm == "candidate" else 0.0))
            trials.append(
                Trial(
                    spec=planned, kernel_digest="", outcome=Outcome.OK, message="",
                    samples={METRIC.name: (1000 * value,)}, stage_s={}, started=None, duration_s=0.0,
                )
            )  # fmt: skip


@dataclass
class Watch:
    """What `kab nightly` does about one series."""

    series: Series
    asked: list[Asked] = field(default_factory=list)
    told: list[Change] = field(default_factory=list)
    boots: int = 0

    def look(self) -> list[Change]:
        """The changes that are told this night."""
        nights = self.series.nights
        start = max(0, len(nights) - WINDOW)
        found = screen(
            nights[start:], METRIC, minimal=minimal_effect(EXPERIMENT),
            told=[int(change.after.release) - start for change in self.told],
            asked=self.asked, since=len(nights) - start - RECENT,
        )  # fmt: skip
        news = []
        for change in found:
            decision, boots = self.series.compare(change)
            self.boots += boots
            says = confirmed(change, decision)
            self.asked.append(Asked(name=NAME, change=change, run_id="", at=START, confirmed=says))
            if says:
                news.append(replace(change, index=change.index + start))
        self.told += news
        return news


def nothing_changes(kind: str, cell_nights: int, seed: int) -> tuple[int, int, int, int]:
    """Cell-nights, suspicions, boots, false alarms."""
    suspicions = boots = alarms = nights = 0
    for number in range(math.ceil(cell_nights / 365)):
        watch = Watch(Series(kind, np.random.default_rng([seed, NOISES.index(kind), number])))
        for _ in range(365):
            watch.series.add()
            watch.look()
        nights += 365
        suspicions, boots, alarms = suspicions + len(watch.asked), boots + watch.boots, alarms + len(watch.told)
    return nights, suspicions, boots, alarms


def a_step(kind: str, effect: float, steps: int, seed: int) -> tuple[Sequence[int | None], Sequence[bool]]:
    """For each of so many steps: the night on which it was told (0: its first), and whether a new host hid it."""
    found: list[int | None] = []
    hidden = []
    for number in range(steps):
        rng = np.random.default_rng([seed, NOISES.index(kind), int(1000 * abs(effect)), number])
        # Each night of a host's sixty in turn.
        step_at = HOST_NIGHTS + number % HOST_NIGHTS
        watch = Watch(Series(kind, rng, step=math.log1p(effect), step_at=step_at))
        for _ in range(step_at):
            watch.series.add()
        told = None
        for night in range(3):
            watch.series.add()
            if any(change.worse and abs(change.index - step_at) <= 2 for change in watch.look()):
                told = night
                break
        found.append(told)
        hidden.append(step_at % HOST_NIGHTS == 0)
    return found, hidden


def print_nothing_changes(arguments: argparse.Namespace) -> None:
    print("no kernel differs, in 1,000 cell-nights")
    print("| noise | cell-nights | A/Bs | their boots | a night's boots | false alarms | at most (95 %) |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in NOISES:
        nights, suspicions, boots, alarms = nothing_changes(kind, arguments.cell_nights, arguments.seed)
        per = 1000 / nights
        # One-sided limit of a Poisson count.
        limit = float(stats.chi2.ppf(0.95, 2 * (alarms + 1))) / 2
        print(
            f"| {TITLES[kind]} | {nights} | {suspicions * per:.1f} | {boots * per:.0f} | {1000 * BOOTS} "
            f"| {alarms * per:.2f} ({alarms} in all) | {limit * per:.2f} |",
            flush=True,
        )


def print_steps(arguments: argparse.Namespace) -> None:
    print("a lasting step: told on the first night, within three; and of those that no new host hides")
    print("| noise | step | first night | within 3 nights | not hidden by a new host |")
    print("| --- | --- | --- | --- | --- |")
    for kind, effect in itertools.product(NOISES, (-0.05, -0.03)):
        found, hidden = a_step(kind, effect, arguments.steps, arguments.seed)
        first = np.mean([told == 0 for told in found])
        within = np.mean([told is not None for told in found])
        seen = np.mean([told is not None for told, covered in zip(found, hidden, strict=True) if not covered])
        print(f"| {TITLES[kind]} | {effect:.0%} | {first:.1%} | {within:.1%} | {seen:.1%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cell-nights", type=int, default=20_000, help="of each noise, 0 for none (default %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, default=400, help="of each noise and size, 0 for none (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.monotonic()
    print(f"{BOOTS} boots a night, {NOISE:.0%} noise a boot, another host every {HOST_NIGHTS} nights\n")
    if arguments.cell_nights:
        print_nothing_changes(arguments)
    if arguments.steps:
        print_steps(arguments)
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
