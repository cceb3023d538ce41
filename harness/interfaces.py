"""What the loops in harness.run need from the world, as protocols; the adapters implement them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self

from harness.model.arch import X86_64, Architecture
from harness.model.bisection import BisectionOutcome, BisectionPlan, IdenticalBuild, Mark, SearchView, Subrun
from harness.model.experiment import Place, TrialSpec
from harness.model.guest import AttachedDisk, BootPlan, CommandResult, DiskSpec
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, CellResult, GateView, MatrixOutcome, MatrixPlan
from harness.model.run import Run, SubrunRole
from harness.model.trial import Stage, Trial
from harness.model.verdict import Decision


class Guest(Protocol):
    """A running guest whose sshd has answered."""

    @property
    def domain_xml(self) -> str:
        """The domain as it was defined."""

    @property
    def boot_s(self) -> float:
        """Seconds from the start of QEMU to the console marker."""

    @property
    def connect_s(self) -> float:
        """Seconds from the console marker to an authenticated SSH connection."""

    def run(self, command: str, *, timeout_s: float, stdin: bytes | None = None) -> CommandResult:
        """Run a shell command as root in the guest; its output also goes to the boot's log.

        What is kept of outputs and logs is bounded: of a flood the beginning and the end, with a line between them.

        Raises CrashError when the kernel log shows a crash, UserspaceError when sshd died under a kernel that ran on,
        HangError when the guest runs but did not finish in time, GuestLostError when QEMU or the connection went away
        for no reason of the kernel's.
        """

    def console(self) -> str:
        """The serial console from the first byte until now."""

    def log(self) -> str:
        """Every command, its output, status and duration, in order."""

    def shutdown(self, *, timeout_s: float) -> None:
        """Power off in order; raises HangError when the guest does not."""


class Hypervisor(Protocol):
    """Starts guests."""

    def boot(self, plan: BootPlan) -> AbstractContextManager[Guest]:
        """Boot and connect; leaving the context removes the domain whatever happened.

        Raises BootError (kernel did not reach userspace, with the console), HostError (QEMU or libvirt refused),
        GuestLostError (QEMU vanished without any sign of a crash).
        """

    def conditions(self, architecture: Architecture = X86_64) -> dict[str, str]:
        """Versions that must not change inside a run of guests of `architecture`."""


class Disks(Protocol):
    """Makes test disks."""

    def check(self, spec: DiskSpec) -> None:
        """Refuse what ``attach`` would refuse, and touch nothing. Raises HostError, ConfigError."""

    def attach(self, spec: DiskSpec, *, serial: str, scratch: Path) -> AbstractContextManager[AttachedDisk]:
        """Create (or claim) the disk; leaving the context removes what was made. Raises HostError, ConfigError."""


class Kernels(Protocol):
    """Resolves specs to kernels in the cache."""

    def resolve(self, spec: str) -> Kernel:
        """Fetch or build where needed.

        Raises ConfigError (no such kernel), HostError (mirror, signature, disk, no compiler), BuildError (it does not
        build), DoesNotApplyError (what is to be done to a revision does not apply to it).
        """

    def modules_for(self, kernel: Kernel, wanted: Sequence[str]) -> tuple[Path, ...]:
        """Module files for `wanted` (soft dependencies included) in load order; built-in ones are left out."""


class Store(Protocol):
    """Keeps every run and trial. Each call is one transaction, durable when it returns."""

    def create_run(self, run: Run) -> None:
        """Store a new open run, as a part of its parent where it has one."""

    def unfinished(self, digest: str) -> Run | None:
        """The newest open run with this digest, trials included (artifacts left out), or None."""

    def append_trial(self, run_id: str, trial: Trial[Place]) -> None:
        """Store one trial with its artifacts."""

    def finish(self, run_id: str, decision: Decision) -> None:
        """Store the decision and close the run."""

    def run(self, run_id: str) -> Run:
        """A run by id or unique prefix ("last": the newest without a parent), trials without artifacts.

        Raises ConfigError when there is none.
        """

    def decision(self, run_id: str) -> Decision | None:
        """What the run decided, or None while it is open."""

    def runs(self, limit: int = 50) -> list[Run]:
        """Newest first, without trials."""

    def artifact(self, run_id: str, spec: TrialSpec[Place], name: str) -> bytes:
        """One artifact of a trial. Raises ConfigError when there is none."""


class Bisections(Protocol):
    """Keeps what a search over a ladder needs besides its run and trials. Each call is one durable transaction."""

    def create(self, run: Run, plan: BisectionPlan) -> None:
        """Store a new open run together with its plan."""

    def plan(self, run_id: str) -> BisectionPlan | None:
        """The plan of a run, None when it is no bisection."""

    def add_mark(self, run_id: str, mark: Mark) -> None:
        """Take a rung out, or put it back."""

    def marks(self, run_id: str) -> tuple[Mark, ...]:
        """All marks, in the order they were made."""

    def add_identical_build(self, run_id: str, identical: IdenticalBuild) -> None:
        """Note that a rung's kernel is that of another one."""

    def identical_builds(self, run_id: str) -> tuple[IdenticalBuild, ...]:
        """All identical builds, in the order they were found."""

    def subruns(self, run_id: str) -> tuple[Subrun, ...]:
        """The A/B runs whose parent it is, in the order they were made."""

    def finish(self, run_id: str, outcome: BisectionOutcome) -> None:
        """Store the outcome and close the run."""

    def outcome(self, run_id: str) -> BisectionOutcome | None:
        """What the search came to, None while it is open."""


class Matrices(Protocol):
    """Keeps what a matrix needs besides its run and cells. Each call is one durable transaction."""

    def create(self, run: Run, plan: MatrixPlan) -> None:
        """Store a new open run together with its plan."""

    def replan(self, run_id: str, plan: MatrixPlan) -> None:
        """Store another plan of the same identity: other waivers."""

    def plan(self, run_id: str) -> MatrixPlan | None:
        """The plan of a run, None when it is no matrix."""

    def cells(self, run_id: str, role: SubrunRole = SubrunRole.CELL) -> dict[str, str]:
        """Place -> id of the runs inside it that have this role, in the order they were made."""

    def finish(self, run_id: str, outcome: MatrixOutcome) -> None:
        """Store the outcome and close the run."""

    def outcome(self, run_id: str) -> MatrixOutcome | None:
        """What the matrix came to, None while it is open."""


class Progress(Protocol):
    """Told what happens while it happens; shows it, or writes it as JSON lines, or nothing."""

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        """The run exists in the store."""

    def note(self, message: str) -> None:
        """One sentence for the user (accelerator, clean-up, resumption)."""

    def download(self, name: str, done_bytes: int, total_bytes: int) -> None:
        """So much of a kernel is here."""

    def building(self, name: str, done: int, total: int, file: str) -> None:
        """So many files of a build are made, the last of them `file`; `total` is 0 where nobody knows."""

    def trial_started(self, spec: TrialSpec[Place], kernel: Kernel) -> None:
        """A trial begins."""

    def stage(self, spec: TrialSpec[Place], stage: Stage, detail: str = "") -> None:
        """A stage of the trial begins."""

    def trial_finished(self, trial: Trial[Place]) -> None:
        """A trial is stored."""

    def decided(self, decision: Decision) -> None:
        """What is known after a block; final or not."""

    def searched(self, view: SearchView) -> None:
        """Where a search over a ladder stands, before each of its boots and at its end."""

    def matrix_started(self, run: Run, plan: MatrixPlan, *, resumed: bool) -> None:
        """The run of a matrix exists in the store; its cells' runs and boots are told of as those of any run."""

    def cell_started(self, cell: Cell) -> None:
        """The boots that follow are of this cell; of a gate's it may be said again and again."""

    def cell_finished(self, result: CellResult) -> None:
        """No further boot of this cell is made."""

    def gated(self, standing: GateView) -> None:
        """Where a gate stands, before each of its blocks and at its end."""


class NullProgress(Progress):
    """Shows nothing, and is what displays begin from: a context manager, so that each is taken down at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run_started(self, run: Run, *, resumed_trials: int) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def download(self, name: str, done_bytes: int, total_bytes: int) -> None:
        pass

    def building(self, name: str, done: int, total: int, file: str) -> None:
        pass

    def trial_started(self, spec: TrialSpec[Place], kernel: Kernel) -> None:
        pass

    def stage(self, spec: TrialSpec[Place], stage: Stage, detail: str = "") -> None:
        pass

    def trial_finished(self, trial: Trial[Place]) -> None:
        pass

    def decided(self, decision: Decision) -> None:
        pass

    def searched(self, view: SearchView) -> None:
        pass

    def matrix_started(self, run: Run, plan: MatrixPlan, *, resumed: bool) -> None:
        pass

    def cell_started(self, cell: Cell) -> None:
        pass

    def cell_finished(self, result: CellResult) -> None:
        pass

    def gated(self, standing: GateView) -> None:
        pass
