"""Wiring: from settings and options to adapters, and from adapters to what a verb needs."""

import json as json_module
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from harness import __version__
from harness.cli.progress import ShownProgress
from harness.config import Request, Settings, build_experiment, load_settings, load_workloads
from harness.errors import HostError
from harness.guest.accelerator import probe_accelerator, require_sound_emulation
from harness.guest.connection import Connection
from harness.guest.hypervisor import LibvirtHypervisor
from harness.guest.qemuhost import LocalHost, QemuHost
from harness.host.files import write_atomically
from harness.host.fingerprint import fingerprint
from harness.host.leases import Lease, reclaim
from harness.host.locks import holder, try_lock
from harness.host.paths import Paths, default_paths, settings_file
from harness.host.probes import disk_space, memory
from harness.images.initramfs import ensure_initramfs
from harness.images.store import ImageStore, busybox_of
from harness.kernels.library import KernelLibrary
from harness.kernels.modules import read_module
from harness.model.check import CheckStatus
from harness.model.experiment import DEFAULT_DISK, DEFAULT_FILESYSTEM, Experiment
from harness.model.guest import MIB, Accelerator, DiskBackend, GuestSpec, Image
from harness.model.kernel import Kernel
from harness.model.metrics import METRICS
from harness.model.run import Run
from harness.model.verdict import Decision
from harness.model.workload import Workload
from harness.render.workload import render_job
from harness.report import ATTACHMENTS, summary, to_html, to_json
from harness.run.ab import AbLoop, AbRequest
from harness.run.trial import Bench, modules_wanted, new_boot_name, run_trial
from harness.store import SqlStore, new_run_id

# Logs and results of one run, with room to spare.
_STATE_NEED_BYTES = 256 * MIB


class Session:
    """One command's use of this host: what it opens it closes, what dead commands left it removes first."""

    def __init__(self, progress: ShownProgress) -> None:
        self.progress = progress
        self.paths: Paths = default_paths()
        self.settings: Settings = load_settings(settings_file(), os.environ)
        # Kernels, image and doctor look for mirrors in the environment, which the settings file may speak for.
        for variable, mirror in (
            ("KAB_DEBIAN_MIRROR", self.settings.debian_mirror),
            ("KAB_DEBIAN_SECURITY_MIRROR", self.settings.debian_security_mirror),
        ):
            if mirror:
                os.environ[variable] = mirror
        self._stack = ExitStack()

    @classmethod
    def open(cls, progress: ShownProgress) -> Self:
        """A session; use it as a context manager."""
        return cls(progress)

    def __enter__(self) -> Self:
        for removed in reclaim(self.paths):
            self.progress.note(f"removed what a killed kab left behind: {removed}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            # Those that this session used stay: they are locked until the stack closes.
            if kind is None and "kernels" in self.__dict__:
                for kernel in self.kernels.prune(self.settings.cache_limit_bytes):
                    self.progress.note(f"removed {kernel.release} from the cache, which is over its limit")
                for folder in self.kernels.prune_builds(self.settings.cache_limit_bytes):
                    self.progress.note(f"removed the build folder {folder}: the cache is over its limit")

    @cached_property
    def store(self) -> SqlStore:
        """The results."""
        return self._stack.enter_context(SqlStore(self.settings.database or self.paths.database))

    @cached_property
    def lease(self) -> Lease:
        """What this process owns on the host."""
        return self._stack.enter_context(Lease(self.paths))

    @cached_property
    def kernels(self) -> KernelLibrary:
        """Kernels, with downloads shown."""
        return self._stack.enter_context(
            KernelLibrary(
                self.paths,
                progress=self.progress.download,
                building=self.progress.building,
                note=self.progress.note,
            )
        )

    @cached_property
    def images(self) -> ImageStore:
        """Guest root images."""
        return ImageStore(self.paths)

    def resolve(self, spec: str) -> Kernel:
        """The kernel of a spec, in the cache."""
        return self.kernels.resolve(spec)

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

        Where `experiment` would need more memory or disk than there is, it is refused before that.
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
        _check_job(experiment.workload)
        baseline = self.resolve(experiment.baseline)
        candidate = self.resolve(experiment.candidate)
        with self.bench(
            baseline,
            accelerator=request.accelerator,
            connect=request.connect,
            destroy_data=destroy_data,
            experiment=experiment,
        ) as bench:
            bench.disks.check(experiment.disk)
            return self.ab_loop(bench).execute(
                AbRequest(
                    experiment=experiment,
                    baseline=baseline,
                    candidate=candidate,
                    conditions=self.conditions(bench),
                    host=bench.host,
                    command=command,
                    fresh=fresh,
                )
            )

    def ab_loop(self, bench: Bench) -> AbLoop:
        """The A/B loop over this session's store and display."""
        return AbLoop(
            store=self.store,
            make_trial=lambda asked, spec, kernel: run_trial(bench, asked, spec, kernel),
            progress=self.progress,
            metrics=METRICS,
            accelerator=bench.accelerator,
            new_run_id=lambda: new_run_id(datetime.now(UTC)),
            exclusive=self._exclusive,
        )

    def conditions(self, bench: Bench) -> dict[str, str]:
        """What trials of one run must share; anything else may change while a run is interrupted."""
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

    def tell(self, run: Run, decision: Decision, *, json: Path | None, html: Path | None) -> int:
        """Print the summary, write the reports asked for, and return the verdict's exit status."""
        self.report(run, decision, json=json, html=html)
        return decision.verdict.exit_code

    def report(self, run: Run, decision: Decision | None, *, json: Path | None, html: Path | None) -> None:
        """Print the summary of a stored run (to stderr where JSON takes stdout), and write the reports asked for."""
        to_stdout = json == Path("-")
        click.echo(summary(run, decision, run.trials, METRICS), err=to_stdout)
        if json is not None:
            text = json_module.dumps(to_json(run, decision, run.trials, METRICS), indent=1)
            if to_stdout:
                click.echo(text)
            else:
                write_atomically(json, text.encode())
        if html is not None:
            whole = self.store.with_artifacts(run, ATTACHMENTS)
            write_atomically(html, to_html(whole, decision, whole.trials, METRICS).encode())
            click.echo(f"\nreport: {html}", err=True)


def _check_job(workload: Workload) -> None:
    """Render the fio job once before any boot: a template's error is told at once. Raises ConfigError."""
    render_job(workload, directory="/", seed=0, runtime_s=workload.runtime_s)
