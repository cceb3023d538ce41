"""Wiring: from settings and options to adapters, and from adapters to what a verb needs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from harness import __version__
from harness.config import Request, build_experiment, load_workloads
from harness.errors import ConfigError, HostError
from harness.guest.accelerator import probe_accelerator, require_sound_emulation
from harness.guest.connection import Connection
from harness.guest.hypervisor import LibvirtHypervisor
from harness.guest.qemuhost import LocalHost, QemuHost
from harness.host.fingerprint import fingerprint
from harness.host.locks import holder, try_lock
from harness.host.probes import disk_space, memory
from harness.images.initramfs import ensure_initramfs
from harness.images.store import busybox_of
from harness.kernels.modules import read_module
from harness.lab.lab import StoredSession
from harness.model.check import CheckStatus
from harness.model.experiment import DEFAULT_DISK, DEFAULT_FILESYSTEM, Experiment, PlaceT, TrialSpec
from harness.model.guest import MIB, Accelerator, DiskBackend, GuestSpec, Image
from harness.model.kernel import Kernel
from harness.model.run import Run
from harness.model.trial import Trial
from harness.model.verdict import Decision
from harness.model.workload import Workload
from harness.render.jobidentity import job_condition, job_digest
from harness.render.workload import check_jobs
from harness.run.ab import AbLoop, AbRequest
from harness.run.trial import Bench, modules_wanted, new_boot_name, run_trial
from harness.store import new_run_id
from harness.workloads.registry import METRICS

# Logs and results of one run, with room to spare.
_STATE_NEED_BYTES = 256 * MIB


class Session(StoredSession):
    """A session that boots guests, too."""

    @contextmanager
    def bench(
        self,
        probe_kernel: Kernel,
        *,
        accelerator: str | None,
        connect: str | None,
        destroy_data: str,
        experiment: Experiment | None = None,
    ) -> Iterator[Bench]:
        """All that trials need. ``accelerator`` is "kvm", "tcg" or "auto": found out by booting `probe_kernel`.

        An `experiment` whose disk cannot be had, or that needs more memory or room than there is, is refused first.
        """
        image = self.images.ensure(progress=self.progress.note)
        with Connection(connect or self.settings.connect or "embed", paths=self.paths, lease=self.lease) as connection:
            hypervisor = LibvirtHypervisor(connection, lease=self.lease)
            if not isinstance(connection.host, LocalHost):
                self.progress.note(f"guests run on {connection.host.name}; what it lacks is sent there once")
            # Now, as no boot may be charged with the sending.
            connection.host.share(image.path)
            bench = Bench(
                hypervisor=hypervisor,
                disks=connection.host.disks(destroy_data=destroy_data),
                kernels=self.kernels,
                image=image,
                accelerator=Accelerator.TCG,
                initramfs=self._initramfs(image),
                scratch=lambda name: self.lease.folder(self.paths.scratch / name),
                progress=self.progress,
                host=fingerprint(connection.host.root),
            )
            if experiment is not None:
                bench.disks.check(experiment.disk)
                self._check_room(experiment, connection.host)
            chosen = self._accelerator(bench, hypervisor, probe_kernel, accelerator or "auto")
            yield replace(bench, accelerator=chosen)

    def _initramfs(self, image: Image) -> Callable[[Kernel, Sequence[Path]], Path]:
        recipe = self.images.recipe

        def ensure(kernel: Kernel, modules: Sequence[Path]) -> Path:
            return ensure_initramfs(kernel.directory, modules, read_module, recipe=recipe, busybox=busybox_of(image))

        return ensure

    def _accelerator(self, bench: Bench, hypervisor: LibvirtHypervisor, kernel: Kernel, wanted: str) -> Accelerator:
        if wanted == "auto":
            with bench.scratch(new_boot_name()) as scratch:
                plan = bench.boot_plan(
                    kernel, GuestSpec(), (), modules_wanted(DEFAULT_DISK, DEFAULT_FILESYSTEM), scratch
                )
                choice = probe_accelerator(hypervisor, plan, paths=self.paths)
            self.progress.note(choice.sentence)
            chosen = choice.accelerator
        else:
            chosen = Accelerator(wanted)
        if chosen is Accelerator.TCG:
            require_sound_emulation(hypervisor.conditions()["qemu"])
        return chosen

    def run_ab(
        self, request: Request, *, destroy_data: str, fresh: bool, command: tuple[str, ...]
    ) -> tuple[Run, Decision]:
        """Resolve, check, and run the A/B loop to its decision."""
        experiment = build_experiment(request, load_workloads())
        check_job(experiment.workload)
        baseline = self.resolve(experiment.baseline)
        candidate = self.resolve(experiment.candidate)
        with self.bench(
            baseline,
            accelerator=request.accelerator,
            connect=request.connect,
            destroy_data=destroy_data,
            experiment=experiment,
        ) as bench:
            return self.ab_loop(bench).execute(
                AbRequest(
                    experiment=experiment,
                    baseline=baseline,
                    candidate=candidate,
                    conditions={**self.conditions(bench), **job_condition(experiment.workload)},
                    host=bench.host,
                    command=command,
                    fresh=fresh,
                )
            )

    def ab_loop(self, bench: Bench) -> AbLoop:
        """The A/B loop over this session's store and display."""
        return AbLoop(
            store=self.store,
            make_trial=partial(_same_job_trial, bench, {}),
            progress=self.progress,
            metrics=METRICS,
            accelerator=bench.accelerator,
            new_run_id=lambda: new_run_id(datetime.now(UTC)),
            exclusive=self._exclusive,
        )

    def conditions(self, bench: Bench) -> dict[str, str]:
        """What trials of one run must share besides its job; anything else may change while a run is interrupted."""
        return {
            "kab": __version__,
            **bench.hypervisor.conditions(),
            "accelerator": bench.accelerator,
            "image": bench.image.name,
            "host_cpu": bench.host.get("cpu", ""),
            "host_kernel": bench.host.get("kernel", ""),
        }

    def _check_room(self, experiment: Experiment, host: QemuHost) -> None:
        """Say before the first boot, not in the middle, that memory or disk do not suffice. Raises HostError."""
        disk = experiment.disk
        guest_mib = experiment.guest.memory_mib
        if disk.backend is DiskBackend.NBD:
            # nbdkit keeps the disk in memory, and only what is written to it.
            guest_mib += min(disk.size_bytes, 2 * experiment.workload.disk_bytes) // MIB
        # Room on another host is looked at where the disk is made.
        disk_is_here = disk.backend is DiskBackend.FILE and isinstance(host, LocalHost)
        state_bytes = _STATE_NEED_BYTES + (disk.size_bytes if disk_is_here else 0)
        for check in (memory(host.root, guest_mib), disk_space(self.paths.state, "state", state_bytes)):
            if check.status is CheckStatus.FAIL:
                raise HostError(f"too little {check.name} for this experiment: {check.detail}", remedy=check.remedy)

    @contextmanager
    def _exclusive(self, digest: str) -> Iterator[None]:
        """One process at a time works on one run."""
        path = self.paths.state / "locks" / f"run-{digest[:32]}.lock"
        held = try_lock(path)
        if held is None:
            run = self.store.unfinished(digest)
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


def _same_job_trial(
    bench: Bench, jobs: dict[str, str], asked: Experiment, spec: TrialSpec[PlaceT], kernel: Kernel
) -> Trial[PlaceT]:
    """A trial of the job that the trials before it had (`jobs`: template -> digest). Raises ConfigError."""
    workload = asked.workload
    job = job_digest(workload)
    if jobs.setdefault(workload.template, job) != job:
        raise ConfigError(
            f"the templates of workload {workload.name} were changed while it was measured",
            remedy="Give the command again: with another job it is a run of its own.",
        )
    return run_trial(bench, asked, spec, kernel)
