"""One trial: disks, boot, measure, check, power off, and an honest name for whatever went wrong."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from harness import interruption
from harness.errors import (
    BootError,
    ConfigError,
    CrashError,
    DataError,
    GuestLostError,
    HangError,
    KabError,
    KernelError,
    UserspaceError,
    WorkloadError,
)
from harness.interfaces import Disks, Guest, Hypervisor, Kernels, Progress
from harness.model.arch import X86_64, Architecture
from harness.model.experiment import Experiment, Place, PlaceT, TrialSpec
from harness.model.guest import Accelerator, AttachedDisk, BootPlan, DiskBus, DiskSpec, FilesystemSpec, GuestSpec, Image
from harness.model.kernel import Kernel
from harness.model.trial import Finding, FindingKind, Outcome, Stage, Trial
from harness.parse.console import findings as find_in_log
from harness.run.measure import Measurement, measure

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_S = 20.0

# What every guest needs for its root, its network and its entropy; "?" marks what a kernel may lack.
_BASE_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "ext4", "?virtio_rng")
_BUS_MODULES: dict[DiskBus, tuple[str, ...]] = {
    DiskBus.VIRTIO_BLK: (),
    DiskBus.NVME: ("nvme",),
    DiskBus.NVME_PCI: ("nvme",),
    DiskBus.NULL_BLK: ("null_blk",),
}

_OUTCOMES: tuple[tuple[type[KabError], Outcome], ...] = (
    (BootError, Outcome.BOOT_FAILED),
    (CrashError, Outcome.CRASHED),
    (HangError, Outcome.HUNG),
    (DataError, Outcome.CORRUPTED),
    (UserspaceError, Outcome.USERSPACE_DIED),
    (WorkloadError, Outcome.WORKLOAD_FAILED),
    (GuestLostError, Outcome.LOST),
)


def outcome_of(error: KabError) -> Outcome | None:
    """The outcome that an error means for its trial; None when it must stop the run instead."""
    return next((outcome for kind, outcome in _OUTCOMES if isinstance(error, kind)), None)


def modules_wanted(disk: DiskSpec, filesystem: FilesystemSpec, extra: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the kernel modules that a guest with this disk and filesystem loads at boot."""
    return tuple(dict.fromkeys((*_BASE_MODULES, *_BUS_MODULES[disk.bus], filesystem.type, *extra)))


def boot_timeout_s(accelerator: Accelerator, architecture: Architecture = X86_64) -> float:
    """Seconds after which a guest that is still booting is called hung: more than ten times the usual."""
    return 30.0 if accelerator is Accelerator.KVM else architecture.emulated_boot_timeout_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every trial of a run shares: the adapters and the root image."""

    hypervisor: Hypervisor
    disks: Disks
    kernels: Kernels
    image: Image
    accelerator: Accelerator
    # (kernel, module files in load order) -> initramfs archive in the cache.
    initramfs: Callable[[Kernel, Sequence[Path]], Path]
    # Name -> a folder that goes away with its context, or with this process.
    scratch: Callable[[str], AbstractContextManager[Path]]
    progress: Progress
    # What the host of the guests is, for people.
    host: Mapping[str, str] = field(default_factory=dict)
    # Called as each stage of a trial begins, in time: what must stand still while a guest measures hears it here.
    on_stage: Callable[[Stage], None] = lambda _: None

    def boot_plan(
        self, kernel: Kernel, guest: GuestSpec, disks: Sequence[AttachedDisk], wanted: Sequence[str], scratch: Path
    ) -> BootPlan:
        """How to start `kernel` with `disks`; `wanted` names its modules.

        Raises ConfigError for a kernel of another architecture than the bench's.
        """
        if kernel.architecture != self.image.architecture:
            raise ConfigError(
                f"{kernel.name} is for {kernel.architecture}, and what it is compared with for "
                f"{self.image.architecture}: kernels of two architectures cannot be compared",
                remedy="Name kernels of one architecture.",
            )
        modules = self.kernels.modules_for(kernel, wanted)
        return BootPlan(
            name=scratch.name,
            # The uncompressed kernel starts sooner under emulation: the guest has nothing to unpack.
            kernel=kernel.vmlinux or kernel.vmlinuz,
            initramfs=(self.initramfs(kernel, modules),),
            root_image=self.image.path,
            guest=guest,
            accelerator=self.accelerator,
            architecture=self.image.architecture,
            disks=tuple(disks),
            scratch=scratch,
            boot_timeout_s=boot_timeout_s(self.accelerator, self.image.architecture),
        )


def new_boot_name() -> str:
    """A name for a boot (its domain and its scratch folder), unique on the host."""
    return f"kab-{token_hex(4)}"


@dataclass(slots=True)
class _Logbook:
    """What is known of a trial so far: kept apart from the trial so that a failure loses none of it."""

    on_stage: Callable[[Stage, str], None]
    stage_s: dict[Stage, float] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    measurement: Measurement | None = None
    _current: tuple[Stage, float] | None = None

    def stage(self, stage: Stage, detail: str = "") -> None:
        """End the stage before, begin this one (which may come back: its times add up)."""
        self.end_stage()
        self._current = (stage, time.monotonic())
        self.on_stage(stage, detail)

    def end_stage(self) -> None:
        """Add what the current stage took."""
        if self._current is not None:
            stage, since = self._current
            self.stage_s[stage] = self.stage_s.get(stage, 0.0) + time.monotonic() - since
            self._current = None

    def booted(self, guest: Guest) -> None:
        """Split the time of the boot context into boot and connect, as the guest measured them."""
        self.end_stage()
        self.stage_s[Stage.CONNECT] = guest.connect_s
        self.stage_s[Stage.BOOT] = max(self.stage_s[Stage.BOOT] - guest.connect_s, 0.0)
        self.artifacts["domain.xml"] = guest.domain_xml.encode()

    def leave(self, guest: Guest) -> None:
        """Keep what the guest said, however it ended."""
        self.artifacts["console.log"] = guest.console().encode()
        self.artifacts["trial.log"] = guest.log().encode()


def run_trial(bench: Bench, experiment: Experiment, spec: TrialSpec[PlaceT], kernel: Kernel) -> Trial[PlaceT]:
    """Boot `kernel` once, run the workload, and return what came of it.

    Failures of kernel, workload and guest become outcomes. Raises HostError and ConfigError: those say nothing about
    the kernel, and going on would not help.
    """

    def on_stage(stage: Stage, detail: str) -> None:
        bench.on_stage(stage)
        bench.progress.stage(spec, stage, detail)

    logbook = _Logbook(on_stage=on_stage)
    started, since = datetime.now(UTC), time.monotonic()
    outcome, message, failure = Outcome.OK, "", None
    try:
        _boot_and_measure(bench, experiment, spec, kernel, logbook)
    except KabError as error:
        # A signal to the whole process group ends more than this process: no outcome of a trial comes of that.
        interruption.check()
        known = outcome_of(error)
        if known is None:
            raise
        log.info("trial %s ended as %s: %s", spec, known, error.message)
        outcome, message, failure = known, error.message, error
    finally:
        logbook.end_stage()
    findings = _all_findings(logbook, failure)
    crash = next((finding for finding in findings if finding.kind.is_crash), None)
    if outcome is Outcome.OK and crash is not None:
        # The workload went on after an oops, but nothing that such a kernel does can be trusted.
        outcome, message = Outcome.CRASHED, crash.message
    killed = next((finding for finding in findings if finding.kind is FindingKind.OOM), None)
    if outcome is Outcome.WORKLOAD_FAILED and killed is not None:
        # What was killed is what failed, and not by its own doing.
        outcome, message = Outcome.USERSPACE_DIED, f"memory ran out in the guest: {_brief(killed)}; then {message}"
    measured = logbook.measurement
    return Trial(
        spec=spec,
        kernel_digest=kernel.digest,
        outcome=outcome,
        message=message,
        samples=measured.samples if measured and outcome is Outcome.OK else {},
        stage_s=logbook.stage_s,
        findings=findings,
        environment=measured.environment if measured else {},
        artifacts=logbook.artifacts,
        started=started,
        duration_s=time.monotonic() - since,
    )


def _brief(killed: Finding) -> str:
    """An OOM kill without the sizes that follow the process's name: "Out of memory: Killed process 93 (fio)"."""
    start, closed, _ = killed.message.partition(") total-vm")
    return f"{start}{closed and ')'}".removesuffix(",")


def _boot_and_measure(
    bench: Bench, experiment: Experiment, spec: TrialSpec[Place], kernel: Kernel, logbook: _Logbook
) -> None:
    """The trial's happy path; contexts take everything down again on any other."""
    name = new_boot_name()
    wanted = modules_wanted(experiment.disk, experiment.filesystem, experiment.workload.modules)
    logbook.stage(Stage.DISKS)
    with (
        bench.scratch(name) as scratch,
        bench.disks.attach(experiment.disk, serial=f"kab-{name[-8:]}", scratch=scratch) as disk,
    ):
        plan = bench.boot_plan(kernel, experiment.guest, [disk], wanted, scratch)
        logbook.stage(Stage.BOOT)
        with bench.hypervisor.boot(plan) as guest:
            logbook.booted(guest)
            try:
                logbook.measurement = measure(
                    guest,
                    experiment=experiment,
                    disk=disk,
                    seed=spec.seed,
                    on_stage=logbook.stage,
                    artifacts=logbook.artifacts,
                )
                logbook.stage(Stage.SHUTDOWN)
                guest.shutdown(timeout_s=SHUTDOWN_TIMEOUT_S)
            finally:
                logbook.leave(guest)


def _all_findings(logbook: _Logbook, failure: KabError | None) -> tuple[Finding, ...]:
    """Findings of console, kernel log and a boot failure's own log, each once."""
    texts = [logbook.artifacts.get("console.log", b"").decode(errors="replace")]
    if isinstance(failure, KernelError | UserspaceError) and failure.log:
        logbook.artifacts.setdefault("console.log", failure.log.encode())
        texts.append(failure.log)
    found = [finding for text in texts for finding in find_in_log(text)]
    if logbook.measurement is not None:
        found.extend(logbook.measurement.findings)
    unique: dict[tuple[str, str], Finding] = {}
    for finding in found:
        unique.setdefault((finding.kind, finding.message), finding)
    return tuple(unique.values())
