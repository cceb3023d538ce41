"""What a kind of workload says of itself: its jobs, how they run, how they are read, which metrics they yield."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from harness.model.workload import Metric, Parameter, Workload

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key that workload files of a kind have besides those of all kinds: a text, or a list of them.

    ``template`` is the name of a file: beside the workload's file, or else of the catalogue (`Workload.template`). What
    other keys say is in `Workload.own`.
    """

    name: str
    # What it is, for the documents; Markdown.
    says: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A parameter that cannot work on any kernel: its name, what is wrong with it, what is allowed."""

    parameter: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One shell command of a guest, with ``$work`` (the folder of the job's files) and ``$mnt`` (the filesystem).

    A list of commands goes in braces and is joined by ``&&``: only the last status counts.
    """

    command: str
    # Seconds that it takes by itself; what a busy host adds comes on top.
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """Data written after the last iteration, read back when the filesystem was unmounted, checked and mounted again.

    A workload without data of its own leaves it empty: the filesystem is checked all the same.
    """

    # Name in ``$work`` -> text.
    files: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    # Shell commands as in Step, both or none.
    write: str = ""
    read_back: str = ""
    # Names under ``$mnt``, and sizes in bytes, of files that must still be there.
    kept: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestJob:
    """All that a workload brings into a guest and runs there."""

    iterate: Step
    # None: there is no warm-up.
    warm_up: Step | None = None
    # Run once, on the new filesystem, before anything is measured; "" for nothing.
    prepare: str = ""
    # Name in ``$work`` -> text: what the commands use.
    files: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    check: DataCheck = DataCheck()
    # Artifact -> text: what is kept with each trial to tell what ran.
    artifacts: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    # What makes it this job and no other, for the run's identity; without what differs from boot to boot.
    identity: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command of a guest ended, and what it printed (bounded, and nothing to be trusted)."""

    output: str
    errors: str
    # Exit status as a shell has it, 0 to 999.
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDone:
    """How much an iteration did, for probes that tell costs per I/O or per byte; 0 where that is not known."""

    # Reads and writes completed.
    ios: int = 0
    written_bytes: int = 0
    # Run times of all its threads together, seconds: what time spent waiting is a share of.
    thread_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one iteration gave."""

    # Metric name -> value in the metric's unit; only what there was.
    samples: Mapping[str, float]
    done: WorkDone = WorkDone()
    # Facts for the trial's environment; the program's version is told under the kind's name.
    facts: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


class Templates(Protocol):
    """Texts made of the templates of the catalogue, and of the user's own; `harness.render.workload` has them."""

    def render(self, template: str, values: Mapping[str, Parameter]) -> str:
        """What a template (a name in the catalogue, or a path) makes of `values`, as a file for the guest.

        Raises ConfigError with the template's file and line.
        """

    def source(self, template: str) -> bytes | None:
        """The template itself, None where there is none."""


class WorkloadKind(Protocol):
    """A kind of workload. One object serves all its workloads and holds nothing of any."""

    @property
    def name(self) -> str:
        """In workload files (``kind: fio``), names of artifacts and messages."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What workloads of this kind may yield, whatever their file says; in the order to show them in."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys of its workload files besides those of all kinds."""

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Names of all artifacts that `GuestJob.artifacts` may hold, the most telling first."""

    @property
    def output_type(self) -> str:
        """What a command prints, as the end of a file's name: "json", "txt"."""

    def metrics_of(self, workload: Workload) -> tuple[Metric, ...]:
        """What this very workload may yield: `metrics`, and those that its file declares."""

    def misfit(self, workload: Workload) -> Misfit | None:
        """The first parameter that cannot work on any kernel."""

    def space_bytes(self, workload: Workload) -> int:
        """What its files take on the test disk, as far as parameters tell."""

    def job(self, workload: Workload, templates: Templates, *, directory: str, seed: int) -> GuestJob:
        """What to run on `directory`, where the filesystem under test is mounted; `seed` fixes all that is random.

        Raises ConfigError.
        """

    def check(self, workload: Workload, job: GuestJob) -> None:
        """Raise ConfigError for a job that cannot work on any kernel; called before any boot."""

    def is_named_by_template(self, workload: Workload, templates: Templates) -> bool:
        """Whether the name of the template alone tells the job.

        Only so of what there was before a run's identity held what is rendered; False for every new kind.
        """

    def read(self, ran: Ran) -> Reading:
        """What an iteration gave. Raises WorkloadError for one that failed, and for any text that is no result."""
