"""A host whose guests answer as a real one did (tests/data/measure and counters, 6.12.107, Btrfs nodatacow).

    host = FakeHost(tmp_path, fails={"check": CrashError("it panicked")}, console="...")
    trial = run_trial(host.bench(), EXPERIMENT, spec, KERNEL)
    host.events     # what was made, run and taken down, in order

Every step of a boot has a name (`STEPS`). `fails` says what a step raises instead of being done; `edits` change what a
guest's script printed.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from factories import named

from harness.config.workloads import load_workloads
from harness.interfaces import NullProgress
from harness.model.experiment import Experiment, Place, TrialSpec
from harness.model.guest import (
    Accelerator,
    AttachedDisk,
    BootPlan,
    CommandResult,
    DiskSpec,
    FilesystemSpec,
    Image,
)
from harness.model.kernel import Kernel
from harness.model.trial import Stage
from harness.run.trial import Bench

DATA = Path(__file__).parent / "data"
DISK = AttachedDisk(spec=DiskSpec(latency_s=0.002), serial="kab-test", path=Path("/nbd.sock"))
EXPERIMENT = Experiment(
    baseline="debian:6.12",
    candidate="debian:7.2",
    workload=load_workloads()["shared-dio"],
    disk=DISK.spec,
    filesystem=FilesystemSpec(mount_options=("nodatacow",)),
)
KERNEL = Kernel(
    spec="debian:6.12",
    release="6.12.107+deb13-cloud-amd64",
    version="6.12.107-1",
    source="debian",
    digest="6.12-digest",
    directory=Path("/nonexistent"),
    vmlinuz=Path("/nonexistent/vmlinuz"),
)
# What a guest's scripts are for, in order; "iterate" comes back.
SCRIPTS = ("prepare", "warm-up", "iterate", "check", "collect")
# All that can fail: what is made (and taken down in the opposite order), what runs, and the disk as it is taken down.
STEPS = ("scratch", "disk", "modules", "initramfs", "boot", *SCRIPTS, "shutdown", "disk-end")

Edit = Callable[[CommandResult], CommandResult]


def recorded(name: str) -> str:
    return (DATA / "measure" / f"{name}.txt").read_text(encoding="utf-8")


def iteration(kernel: str) -> str:
    before, after = (DATA / "counters" / f"{kernel}-nodatacow.txt").read_text(encoding="utf-8").split("\nafter\n")
    report = (DATA / "counters" / f"{kernel}-nodatacow.json").read_text(encoding="utf-8")
    before = before.removeprefix("before\n")
    return (
        f"@@kab procfs-before\n{before}\n@@kab output\n{report}\n@@kab procfs-after\n{after}\n@@kab status\ncommand=0\n"
    )


def saying(pattern: str, replacement: str) -> Edit:
    """The answer with other words in it."""

    def edit(result: CommandResult) -> CommandResult:
        changed = re.sub(pattern, replacement, result.stdout, count=1)
        assert changed != result.stdout
        return CommandResult(
            command=result.command, status=result.status, stdout=changed, stderr=result.stderr, duration_s=0.1
        )

    return edit


def failing(status: int, stderr: str) -> Edit:
    """The answer of a script that fails."""
    return lambda result: CommandResult(
        command=result.command, status=status, stdout=result.stdout[:40], stderr=stderr, duration_s=0.1
    )


class Replay:
    """A guest that answers each script as a real one did; `edits` change the answer to one kind of script."""

    domain_xml = "<domain/>"
    boot_s = 0.0
    connect_s = 0.0

    def __init__(self, **edits: Edit) -> None:
        self.kinds: list[str] = []
        self._edits = edits

    def run(self, command: str, *, timeout_s: float, stdin: bytes | None = None) -> CommandResult:
        assert command == "bash -s"
        assert stdin is not None
        assert timeout_s > 0
        kind = self._kind(stdin.decode())
        self.kinds.append(kind)
        # The warm-up replays another kernel: its numbers must not show up anywhere.
        answers = {"warm-up": iteration("7.2.12"), "iterate": iteration("6.12.107")}
        stdout = answers[kind] if kind in answers else recorded(kind)
        answer = CommandResult(command=command, status=0, stdout=stdout, stderr="", duration_s=0.1)
        return self._edits.get(kind, lambda result: result)(answer)

    @staticmethod
    def _kind(script: str) -> str:
        if "section mkfs" in script:
            return "prepare"
        if "section output" in script:
            return "warm-up" if '"$work"/warm-up' in script else "iterate"
        return "check" if "verify-read" in script else "collect"

    def console(self) -> str:
        return ""

    def log(self) -> str:
        return ""

    def shutdown(self, *, timeout_s: float) -> None:
        assert timeout_s > 0


class FakeGuest(Replay):
    """A guest of a `FakeHost`."""

    connect_s = 0.25

    def __init__(self, host: "FakeHost") -> None:
        super().__init__(**host.edits)
        self._host = host

    def run(self, command: str, *, timeout_s: float, stdin: bytes | None = None) -> CommandResult:
        assert stdin is not None
        self._host.step(self._kind(stdin.decode()))
        return super().run(command, timeout_s=timeout_s, stdin=stdin)

    def console(self) -> str:
        return self._host.console

    def log(self) -> str:
        return "".join(f"$ {kind}\n" for kind in self.kinds)

    def shutdown(self, *, timeout_s: float) -> None:
        super().shutdown(timeout_s=timeout_s)
        self._host.step("shutdown")


class FakeHost:
    """Disks, kernels and hypervisor of a `Bench`, which note what is done with them."""

    def __init__(
        self,
        folder: Path,
        *,
        fails: Mapping[str, BaseException | Callable[[], object]] | None = None,
        edits: Mapping[str, Edit] | None = None,
        console: str = "[    0.000000] Linux version 6.12.107\n",
    ) -> None:
        """`fails`: step -> what it raises, or calls (a signal, say); a step not in `STEPS` is a mistake of the test."""
        self.fails = dict(fails or {})
        assert set(self.fails) <= set(STEPS)
        self.edits = dict(edits or {})
        self.console = console
        self.events: list[str] = []
        self._folder = folder

    def step(self, name: str) -> None:
        """Note a step; fail where it is to fail."""
        self.events.append(name)
        what = self.fails.get(name)
        if isinstance(what, BaseException):
            raise what
        if what is not None:
            what()

    @contextmanager
    def _made(self, name: str) -> Iterator[None]:
        """A thing that is made, and taken down whatever happens."""
        self.step(name)
        try:
            yield
        finally:
            self.events.append(f"{name} gone")

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        with self._made("scratch"):
            yield self._folder / name

    def check(self, spec: DiskSpec) -> None:
        """As Disks.check."""

    @contextmanager
    def attach(self, spec: DiskSpec, *, serial: str, scratch: Path) -> Iterator[AttachedDisk]:
        """As Disks.attach; at "disk-end" what served the disk may be found dead, as nbdkit may."""
        with self._made("disk"):
            try:
                yield AttachedDisk(spec=spec, serial=serial, path=scratch / "disk")
            finally:
                self.step("disk-end")

    def resolve(self, spec: str) -> Kernel:
        """As Kernels.resolve."""
        return KERNEL

    def modules_for(self, kernel: Kernel, wanted: Sequence[str]) -> tuple[Path, ...]:
        """As Kernels.modules_for."""
        self.step("modules")
        return ()

    def initramfs(self, kernel: Kernel, modules: Sequence[Path]) -> Path:
        self.step("initramfs")
        return self._folder / "initramfs"

    @contextmanager
    def boot(self, plan: BootPlan) -> Iterator[FakeGuest]:
        """As Hypervisor.boot."""
        with self._made("boot"):
            yield FakeGuest(self)

    def conditions(self) -> dict[str, str]:
        """As Hypervisor.conditions."""
        return {"qemu": "10.0"}

    def bench(self, progress: NullProgress | None = None) -> Bench:
        return Bench(
            hypervisor=self,
            disks=self,
            kernels=self,
            image=Image(name="image", recipe_digest="recipe", path=self._folder / "root", size_bytes=0),
            accelerator=Accelerator.TCG,
            initramfs=self.initramfs,
            scratch=self.scratch,
            progress=progress or NullProgress(),
        )


class Stages(NullProgress):
    """A display that keeps the stages it was told of."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Stage, str]] = []

    def stage(self, spec: TrialSpec[Place], stage: Stage, detail: str = "") -> None:
        self.told.append((named(spec), stage, detail))
