"""The bench: where guests run, opened once for any number of runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from harness import __version__
from harness.config import Request
from harness.errors import ConfigError, HostError
from harness.guest.accelerator import probe_accelerator, require_native, require_sound_emulation
from harness.guest.connection import Connection
from harness.guest.hypervisor import LibvirtHypervisor
from harness.guest.qemuhost import LocalHost, QemuHost
from harness.host.fingerprint import fingerprint
from harness.host.locks import holder, try_lock
from harness.host.probes import disk_space, memory
from harness.images.initramfs import ensure_initramfs
from harness.images.recipe import Recipe
from harness.images.store import busybox_of
from harness.kernels.modules import read_module
from harness.lab.workspace import Workspace
from harness.model.arch import X86_64, Architecture
from harness.model.check import CheckStatus
from harness.model.experiment import DEFAULT_DISK, DEFAULT_FILESYSTEM, Experiment, PlaceT, TrialSpec
from harness.model.guest import MIB, Accelerator, DiskBackend, GuestSpec, Image
from harness.model.kernel import Kernel
from harness.model.trial import Stage, Trial
from harness.model.workload import Workload
from harness.render.jobidentity import job_condition, job_digest
from harness.render.workload import check_jobs
from harness.run.boots import MakeTrial, Runner
from harness.run.trial import Bench, modules_wanted, new_boot_name, run_trial
from harness.store import new_run_id

# Logs and results of one run, with room to spare.
_STATE_NEED_BYTES = 256 * MIB


class OpenBench:
    """Where guests run: one connection to libvirt; for each architecture an image, and what runs the guests.

    Any number of comparisons, searches and single boots may be made on it, one after the other.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        connection: Connection,
        accelerator: str,
        connect: str,
        destroy_data: str,
    ) -> None:
        """`accelerator`: "kvm", "tcg", or "auto": found out by the first boot."""
        self._workspace = workspace
        self._connection = connection
        self._hypervisor = LibvirtHypervisor(connection, lease=workspace.lease)
        self._disks = connection.host.disks(destroy_data=destroy_data)
        self._wanted = accelerator
        self._connect = connect
        self._ready: dict[Architecture, Bench] = {}
        self._host = fingerprint(connection.host.root)

    @property
    def host(self) -> Mapping[str, str]:
        """What the host of the guests is, for people."""
        return self._host

    def check_request(self, request: Request) -> None:
        """Raise ConfigError where a request wants other guests than this bench makes."""
        for name, wanted, here in (
            ("accelerator", request.accelerator, self._wanted),
            ("connection", request.connect, self._connect),
        ):
            if wanted not in {None, "auto", here}:
                raise ConfigError(
                    f"the {name} {wanted} is asked for, and the bench is open with {here}",
                    remedy="Leave it to the bench, or open another one.",
                )

    def check(self, experiment: Experiment) -> None:
        """Refuse, and touch nothing, an experiment whose disk cannot be had, or that has not enough memory or room.

        Raises HostError, ConfigError.
        """
        self._disks.check(experiment.disk)
        check_room(experiment, self._connection.host, self._workspace.paths.state)

    def ready(self, kernel: Kernel) -> Bench:
        """The bench for trials of `kernel` and its like, which is booted where nobody knows yet what runs guests.

        The image of the kernel's architecture is built where it is missing. Raises ConfigError, HostError.
        """
        architecture = kernel.architecture
        if architecture not in self._ready:
            bench = self._bench(architecture)
            self._ready[architecture] = replace(bench, accelerator=self._accelerator(bench, kernel))
        return self._ready[architecture]

    def _bench(self, architecture: Architecture) -> Bench:
        """All but what runs the guests."""
        workspace, host = self._workspace, self._connection.host
        # It may be missing: that is told before anything is built.
        host.emulator(architecture)
        images = workspace.images_of(architecture)
        image = images.ensure(progress=workspace.progress.note)
        # Now, as no boot may be charged with the sending.
        host.share(image.path)
        return Bench(
            hypervisor=self._hypervisor,
            disks=self._disks,
            kernels=workspace.kernels,
            image=image,
            accelerator=Accelerator.TCG,
            initramfs=_initramfs(images.recipe, image),
            scratch=lambda name: workspace.lease.folder(workspace.paths.scratch / name),
            progress=workspace.progress,
            host=self._host,
        )

    def accelerator(self, kernel: Kernel) -> Accelerator:
        """What runs guests of `kernel` and its like. Raises as ``ready``."""
        return self.ready(kernel).accelerator

    def conditions(self, kernel: Kernel) -> dict[str, str]:
        """What trials of one run must share besides its job; anything else may change while a run is interrupted."""
        bench = self.ready(kernel)
        return {
            "kab": __version__,
            **bench.hypervisor.conditions(kernel.architecture),
            # Left out for x86-64, as it was when there was no other: the digests of open runs stay.
            **({} if kernel.architecture == X86_64 else {"architecture": kernel.architecture.name}),
            "accelerator": bench.accelerator,
            "image": bench.image.name,
            "host_cpu": bench.host.get("cpu", ""),
            "host_kernel": bench.host.get("kernel", ""),
        }

    def trials(self, kernel: Kernel, on_stage: Callable[[Stage], None]) -> MakeTrial:
        """What makes the trials of one run, all of one job; `on_stage` is called as each stage of one begins."""
        return partial(_same_job_trial, replace(self.ready(kernel), on_stage=on_stage), {})

    def _accelerator(self, bench: Bench, kernel: Kernel) -> Accelerator:
        if self._wanted == "auto":
            with bench.scratch(new_boot_name()) as scratch:
                plan = bench.boot_plan(
                    kernel, GuestSpec(), (), modules_wanted(DEFAULT_DISK, DEFAULT_FILESYSTEM), scratch
                )
                choice = probe_accelerator(self._hypervisor, plan, paths=self._workspace.paths)
            self._workspace.progress.note(choice.sentence)
            chosen = choice.accelerator
        else:
            chosen = Accelerator(self._wanted)
        architecture = kernel.architecture
        if chosen is Accelerator.TCG:
            require_sound_emulation(bench.hypervisor.conditions(architecture)["qemu"], architecture)
        else:
            require_native(self._connection.host, architecture)
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchChoice:
    """The bench of a run: one that is open already, or one of its own."""

    given: OpenBench | None
    # (accelerator, libvirt URI; None: not said) -> a bench that is closed with its context.
    make: Callable[[str | None, str | None], AbstractContextManager[OpenBench]]

    @contextmanager
    def open(self, request: Request, *, usual: str | None = None) -> Iterator[OpenBench]:
        """The bench; `usual` is the accelerator where neither the request nor an open bench has one.

        Raises ConfigError where an open one is not what the request wants; HostError.
        """
        if self.given is not None:
            self.given.check_request(request)
            yield self.given
            return
        with self.make(request.accelerator or usual, request.connect) as opened:
            yield opened


@contextmanager
def open_bench(
    workspace: Workspace, *, accelerator: str, connect: str | None, destroy_data: str
) -> Iterator[OpenBench]:
    """As Lab.bench. Raises ConfigError, HostError."""
    uri = connect or workspace.settings.connect or "embed"
    with Connection(uri, paths=workspace.paths, lease=workspace.lease) as connection:
        if not isinstance(connection.host, LocalHost):
            workspace.progress.note(f"guests run on {connection.host.name}; what it lacks is sent there once")
        yield OpenBench(
            workspace, connection=connection, accelerator=accelerator, connect=uri, destroy_data=destroy_data
        )


def runner(
    workspace: Workspace, bench: OpenBench, kernel: Kernel, *, on_stage: Callable[[Stage], None] = lambda _: None
) -> Runner:
    """What a run is made with: a laboratory's store, display and guests; `kernel` is one of those that will boot."""
    return Runner(
        store=workspace.store,
        make_trial=bench.trials(kernel, on_stage),
        progress=workspace.progress,
        accelerator=bench.accelerator(kernel),
        new_run_id=lambda: new_run_id(datetime.now(UTC)),
        exclusive=partial(exclusive, workspace),
    )


def run_conditions(bench: OpenBench, kernel: Kernel, workload: Workload) -> dict[str, str]:
    """What trials of one run must share, its job included."""
    return {**bench.conditions(kernel), **job_condition(workload)}


@contextmanager
def exclusive(workspace: Workspace, digest: str) -> Iterator[None]:
    """One process at a time works on one run. Raises HostError."""
    path = workspace.paths.state / "locks" / f"run-{digest[:32]}.lock"
    held = try_lock(path)
    if held is None:
        run = workspace.store.unfinished(digest)
        raise HostError(
            f"another kab{holder(path)} works on {f'run {run.id}' if run else 'this very experiment'}",
            remedy="Let it finish, or end it and give the command again; another --seed makes it an experiment "
            "of its own.",
        )
    with held:
        yield


def check_job(workload: Workload) -> None:
    """Render the jobs before any boot, and look at them: what cannot work is told at once. Raises ConfigError."""
    check_jobs(workload)
    job_digest(workload)


def require_one_architecture(baseline: Kernel, candidate: Kernel) -> None:
    """Refuse to compare kernels of two architectures. Raises ConfigError."""
    if baseline.architecture != candidate.architecture:
        raise ConfigError(
            f"{baseline.name} is for {baseline.architecture} and {candidate.name} for {candidate.architecture}: "
            "kernels of two architectures cannot be compared",
            remedy="Name two kernels of one architecture, such as debian:6.12/cloud-arm64 debian:7.2/cloud-arm64.",
        )


def check_room(experiment: Experiment, host: QemuHost, state: Path) -> None:
    """Say before the first boot, not in the middle, that memory or disk do not suffice. Raises HostError."""
    disk = experiment.disk
    guest_mib = experiment.guest.memory_mib
    if disk.backend is DiskBackend.NBD:
        # nbdkit keeps the disk in memory, and only what is written to it.
        guest_mib += min(disk.size_bytes, 2 * experiment.workload.disk_bytes) // MIB
    # Room on another host is looked at where the disk is made.
    disk_is_here = disk.backend is DiskBackend.FILE and isinstance(host, LocalHost)
    state_bytes = _STATE_NEED_BYTES + (disk.size_bytes if disk_is_here else 0)
    for check in (memory(host.root, guest_mib), disk_space(state, "state", state_bytes)):
        if check.status is CheckStatus.FAIL:
            raise HostError(f"too little {check.name} for this experiment: {check.detail}", remedy=check.remedy)


def _initramfs(recipe: Recipe, image: Image) -> Callable[[Kernel, Sequence[Path]], Path]:
    def ensure(kernel: Kernel, modules: Sequence[Path]) -> Path:
        return ensure_initramfs(kernel.directory, modules, read_module, recipe=recipe, busybox=busybox_of(image))

    return ensure


def _same_job_trial(
    bench: Bench, jobs: dict[str, str], asked: Experiment, spec: TrialSpec[PlaceT], kernel: Kernel
) -> Trial[PlaceT]:
    """A trial of the job that the trials before it had (`jobs`: workload -> digest). Raises ConfigError."""
    workload = asked.workload
    job = job_digest(workload)
    if jobs.setdefault(workload.name, job) != job:
        raise ConfigError(
            f"the templates of workload {workload.name} were changed while it was measured",
            remedy="Give the command again: with another job it is a run of its own.",
        )
    return run_trial(bench, asked, spec, kernel)
