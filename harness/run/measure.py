"""Inside a booted guest: prepare, warm up, iterate, check the data, collect. Written against `Guest` only."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from harness.errors import DataError, WorkloadError
from harness.interfaces import Guest
from harness.model.experiment import Experiment
from harness.model.guest import MIB, AttachedDisk, CommandResult
from harness.model.trial import Finding, Stage
from harness.model.workload import Workload
from harness.parse.console import findings
from harness.parse.fio import FioResult, parse_fio
from harness.parse.procfs import parse_snapshot, witnesses
from harness.parse.sections import failed_steps, parse_files, parse_pairs, parse_sections
from harness.render.guestscript import MOUNT_POINT, check_script, collect_script, iterate_script, prepare_script
from harness.render.workload import layout_files, render_job, render_layout_job, render_verify_job

log = logging.getLogger(__name__)

# What a stage may take on top of what is known of it, under emulation on a busy host.
STAGE_TIMEOUT_S = 90.0
# A layout slower than this has stopped.
_SLOWEST_LAYOUT_BYTES_S = 2 * MIB

OnStage = Callable[[Stage, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a workload gave in one boot."""

    # Metric name -> one value per iteration, in metric units.
    samples: Mapping[str, tuple[float, ...]]
    # What is alarming in the guest's kernel log.
    findings: tuple[Finding, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Session:
    """One workload in one guest, and what it has given so far."""

    guest: Guest
    experiment: Experiment
    disk: AttachedDisk
    seed: int
    # The test disk's name in this guest, known once it is prepared.
    disk_name: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)

    @property
    def workload(self) -> Workload:
        return self.experiment.workload

    def run(self, what: str, script: str, *, timeout_s: float) -> CommandResult:
        """Run a script, keep what it printed as an artifact. Raises WorkloadError when it fails."""
        result = self.guest.run("bash -s", timeout_s=timeout_s, stdin=script.encode())
        self.artifacts[f"{what}.txt"] = (result.stdout + result.stderr).encode()
        if result.status != 0:
            raise WorkloadError(f"{what} failed in the guest with status {result.status}: {_tail(result)}")
        return result


def measure(
    guest: Guest,
    *,
    experiment: Experiment,
    disk: AttachedDisk,
    seed: int,
    on_stage: OnStage,
    artifacts: dict[str, bytes] | None = None,
) -> Measurement:
    """Run the experiment's workload in `guest` on `disk`; `seed` fixes its random offsets.

    `artifacts` is filled as they come, so that a failure keeps what there was until then.

    Raises WorkloadError (mkfs, mount or fio failed), DataError (data read back or the filesystem is wrong), and what
    ``Guest.run`` raises.
    """
    session = _Session(guest=guest, experiment=experiment, disk=disk, seed=seed)
    if artifacts is not None:
        session.artifacts = artifacts
    workload = experiment.workload
    on_stage(Stage.PREPARE, f"{experiment.filesystem.type}, {workload.name}")
    _prepare(session)
    if workload.warmup_s > 0:
        on_stage(Stage.WARMUP, "")
        _iterate(session, "warm-up", runtime_s=workload.warmup_s)
    for number in range(workload.iterations):
        on_stage(Stage.MEASURE, f"{number + 1}/{workload.iterations}")
        for name, value in _iterate(session, str(number), runtime_s=workload.runtime_s).items():
            session.samples.setdefault(name, []).append(value)
    on_stage(Stage.CHECK, experiment.filesystem.type)
    _check(session)
    on_stage(Stage.COLLECT, "")
    found = _collect(session)
    return Measurement(
        samples={name: tuple(values) for name, values in session.samples.items()},
        findings=found,
        environment=session.environment,
        artifacts=session.artifacts,
    )


def _prepare(session: _Session) -> None:
    """Make the filesystem and the workload's files; learn the disk's name and settings."""
    workload = session.workload
    job = render_job(workload, directory=MOUNT_POINT, seed=session.seed, runtime_s=workload.runtime_s)
    layout_job = render_layout_job(workload, directory=MOUNT_POINT, seed=session.seed)
    session.artifacts["fio-job"] = job.encode()
    if layout_job:
        session.artifacts["fio-layout-job"] = layout_job.encode()
    script = prepare_script(
        session.disk,
        session.experiment.filesystem,
        job=job,
        warmup_job=render_job(workload, directory=MOUNT_POINT, seed=session.seed, runtime_s=workload.warmup_s),
        layout_job=layout_job,
    )
    timeout_s = STAGE_TIMEOUT_S + workload.disk_bytes / _SLOWEST_LAYOUT_BYTES_S
    sections = parse_sections(session.run("prepare", script, timeout_s=timeout_s).stdout)
    session.disk_name = parse_pairs(sections["disk"])["name"]
    session.environment["mount"] = sections["mount"]
    session.environment.update(_facts(sections["queue"]))


def _iterate(session: _Session, label: str, *, runtime_s: float) -> dict[str, float]:
    """One fio process between two snapshots; returns its metrics and witnesses."""
    script = iterate_script(session.disk_name, warmup=label == "warm-up")
    result = session.guest.run("bash -s", timeout_s=runtime_s + STAGE_TIMEOUT_S, stdin=script.encode())
    sections = parse_sections(result.stdout)
    report = sections.get("fio", "")
    session.artifacts[f"fio-{label}.json"] = report.encode()
    session.artifacts[f"counters-{label}.txt"] = "\n".join(
        f"{name}\n{sections.get(name, '')}\n" for name in ("before", "after")
    ).encode()
    fio = _fio_result(result, sections.get("status", ""), report)
    session.environment["fio"] = fio.version
    return {
        **fio.metrics,
        **witnesses(
            parse_snapshot(sections["before"]),
            parse_snapshot(sections["after"]),
            ios=fio.ios,
            written_bytes=fio.written_bytes,
        ),
    }


def _fio_result(result: CommandResult, status: str, report: str) -> FioResult:
    failed = failed_steps(parse_pairs(status))
    if result.status != 0 or failed:
        code = failed.get("fio", str(result.status))
        said = result.stderr.strip() or report.partition("{")[0].strip()
        raise WorkloadError(f"fio failed in the guest with status {code}: {said[-2000:]}")
    return parse_fio(report)


def _check(session: _Session) -> None:
    """Data and filesystem must have survived the workload. Raises DataError when they have not."""
    filesystem = session.experiment.filesystem
    files = layout_files(session.workload)
    script = check_script(
        session.disk_name,
        filesystem,
        write_job=render_verify_job(directory=MOUNT_POINT, seed=session.seed, read_back=False),
        read_job=render_verify_job(directory=MOUNT_POINT, seed=session.seed, read_back=True),
        files=[name for name, _ in files],
    )
    timeout_s = 2 * STAGE_TIMEOUT_S + session.workload.disk_bytes / _SLOWEST_LAYOUT_BYTES_S
    result = session.run("check", script, timeout_s=timeout_s)
    sections = parse_sections(result.stdout)
    for step, code in failed_steps(parse_pairs(sections["status"])).items():
        output = sections.get(step, "")
        message = f"{_STEPS[step]} with status {code}: {output[-2000:]}"
        # 127: the guest lacks the tool; that and a failed write or unmount accuse no data.
        if code == "127" or step in {"write", "unmount"}:
            raise WorkloadError(message)
        raise DataError(message, log=result.stdout)
    expected = "\n".join(f"{MOUNT_POINT}/{name} {size_bytes}" for name, size_bytes in files)
    if sections.get("sizes", "") != expected:
        raise DataError(
            f"files have other sizes than before:\n{sections.get('sizes', '')}\ninstead of\n{expected}",
            log=result.stdout,
        )


_STEPS = {
    "write": "writing the data to be checked failed",
    "unmount": "the test filesystem could not be unmounted: umount ended",
    "fsck": "the filesystem check failed",
    "mount": "the filesystem could not be mounted again: mount ended",
    "read": "data read back is not what was written: fio ended",
    "sizes": "files of the workload are gone: stat ended",
}


def _collect(session: _Session) -> tuple[Finding, ...]:
    """Read versions, settings and the kernel log; returns what is alarming in it."""
    script = collect_script(session.experiment.filesystem)
    sections = parse_sections(session.run("collect", script, timeout_s=STAGE_TIMEOUT_S).stdout)
    session.environment.update(_facts(sections["facts"]))
    session.environment["filesystem_tools"] = sections["tools"].partition("\n")[0]
    session.artifacts["dmesg.log"] = sections["dmesg"].encode()
    return findings(sections["dmesg"])


# Names of files that say too little without their folder.
_NAMES = {
    "current_clocksource": "clocksource",
    "enabled": "transparent_hugepage",
    "osrelease": "kernel",
    "size": "disk_sectors",
    "version": "kernel_build",
}


def _facts(text: str) -> dict[str, str]:
    """Short name -> content of the files of /proc and /sys in `text`."""
    facts = {}
    for name, content in parse_files(text).items():
        path = PurePosixPath(name)
        prefix = {"vulnerabilities": "vulnerability.", "queue": "queue."}.get(path.parent.name, "")
        facts[prefix + _NAMES.get(path.name, path.name)] = content.strip()
    return facts


def _tail(result: CommandResult) -> str:
    return (result.stderr.strip() or result.stdout.strip())[-2000:]
