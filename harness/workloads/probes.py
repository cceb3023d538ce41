"""What a probe must say of itself: it watches the guest while a workload runs, and yields witnesses."""

from collections.abc import Mapping
from typing import Protocol

from harness.model.workload import Metric
from harness.workloads.kinds import WorkDone


class Probe(Protocol):
    """A probe. Started right before an iteration and stopped right after it, in one shell."""

    @property
    def name(self) -> str:
        """In names of sections, artifacts and messages."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it may yield, in the order to show them in."""

    @property
    def artifact(self) -> str:
        """What its output is kept as: "counters" becomes counters-0.txt, counters-1.txt..."""

    @property
    def apart(self) -> bool:
        """Whether it disturbs what it watches: it then gets an iteration of its own, after those that are measured."""

    def start(self, disk: str) -> str:
        """Shell lines that start it; `disk` is the test disk's name in the guest.

        A kernel that lacks what they need is no failure: that they fail is not looked at. Names of variables and
        functions begin with the probe's.
        """

    def stop(self, disk: str) -> str:
        """Shell lines that stop it and print what it saw."""

    def read(self, before: str, after: str, done: WorkDone) -> Mapping[str, float]:
        """Metric name -> value, of what `start` and `stop` printed around `done`.

        What the guest's kernel does not tell is left out: missing is not zero. Raises WorkloadError for text that
        cannot be what a kernel prints.
        """
