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
from harness.parse.headtail import shortened
from harness.parse.procfs import parse_snapshot, witnesses
from harness.parse.sections import (
    bounded_facts,
    failed_steps,
    parse_disk_name,
    parse_files,
    parse_pairs,
    parse_sections,
    section,
)
from harness.render.guestscript import MOUNT_POINT, check_script, collect_script, iterate_script, prepare_script
from harness.render.workload import layout_files, render_job, render_layout_job, render_verify_job

log = logging.getLogger(__name__)

# What a stage may take on top of what is known of it, under emulation on a busy host.
STAGE_TIMEOUT_S = 90.0
# A layout slower than this has stopped.
_SLOWEST_LAYOUT_BYTES_S = 2 * MIB
# Kept of what a command printed, as an artifact: the beginning and the end.
_ARTIFACT_BYTES = MIB

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

    def keep(self, name: str, text: str) -> None:
        """Store a text of the guest as an artifact."""
        self.artifacts[name] = shortened(text.encode(), _ARTIFACT_BYTES)

    def run(self, what: str, script: str, *, timeout_s: float) -> CommandResult:
        """Run a script, keep what it printed as an artifact. Raises WorkloadError when it fails."""
        result = self.guest.run("bash -s", timeout_s=timeout_s, stdin=script.encode())
        self.keep(f"{what}.txt", result.stdout + result.stderr)
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
    session.disk_name = parse_disk_name(section(sections, "disk"))
    session.environment.update(bounded_facts({"mount": section(sections, "mount")}))
    session.environment.update(_facts(section(sections, "queue")))


def _iterate(session: _Session, label: str, *, runtime_s: float) -> dict[str, float]:
    """One fio process between two snapshots; returns its metrics and witnesses."""
    script = iterate_script(session.disk_name, warmup=label == "warm-up")
    result = session.guest.run("bash -s", timeout_s=runtime_s + STAGE_TIMEOUT_S, stdin=script.encode())
    sections = parse_sections(result.stdout)
    report = sections.get("fio", "")
    session.keep(f"fio-{label}.json", report)
    counters = (f"{name}\n{sections.get(name, '')}\n" for name in ("before", "after"))
    session.keep(f"counters-{label}.txt", "\n".join(counters))
    if result.cut_bytes:
        raise WorkloadError(f"fio printed too much to be read: {result.cut_bytes} bytes of it were left out")
    fio = _fio_result(result, sections.get("status", ""), report)
    session.environment["fio"] = fio.version
    return {
        **fio.metrics,
        **witnesses(
            parse_snapshot(section(sections, "before")),
            parse_snapshot(section(sections, "after")),
            ios=fio.ios,
            written_bytes=fio.written_bytes,
        ),
    }


def _fio_result(result: CommandResult, status: str, report: str) -> FioResult:
    states = parse_pairs(status)
    failed = failed_steps(states)
    if result.status != 0 or failed:
        code = failed.get("fio", str(result.status))
        said = result.stderr.strip() or report.partition("{")[0].strip()
        raise WorkloadError(f"fio failed in the guest with status {code[:_CODE_SHOWN]}: {said[-2000:]}")
    if "fio" not in states:
        raise WorkloadError("the guest did not tell how fio ended")
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
    states = parse_pairs(section(sections, "status"))
    for step, code in failed_steps(states).items():
        what = _STEPS.get(step, f"{step[:_CODE_SHOWN]} ended")
        message = f"{what} with status {code[:_CODE_SHOWN]}: {sections.get(step, '')[-2000:]}"
        # Only these accuse data.
        if step in _OF_DATA and _is_a_verdict(code):
            raise DataError(message, log=result.stdout)
        raise WorkloadError(message)
    if missing := [step for step in _STEPS if step not in states and (files or step != "sizes")]:
        raise WorkloadError(f"the check of the data ended early, without: {', '.join(missing)}")
    expected = "\n".join(f"{MOUNT_POINT}/{name} {size_bytes}" for name, size_bytes in files)
    if sections.get("sizes", "") != expected:
        raise DataError(
            f"files have other sizes than before:\n{sections.get('sizes', '')[-2000:]}\ninstead of\n{expected}",
            log=result.stdout,
        )


def _is_a_verdict(code: str) -> bool:
    """Whether a shell's status is the command's own: not 126 and 127 (no such tool), nor above 128 (a signal)."""
    return code.isascii() and code.isdecimal() and len(code) <= _STATUS_DIGITS and int(code) < _NOT_RUN


_STEPS = {
    "write": "writing the data to be checked failed",
    "unmount": "the test filesystem could not be unmounted: umount ended",
    "fsck": "the filesystem check failed",
    "mount": "the filesystem could not be mounted again: mount ended",
    "read": "data read back is not what was written: fio ended",
    "sizes": "files of the workload are gone: stat ended",
}
# Steps whose failure says that what was written is not what is there.
_OF_DATA = frozenset({"fsck", "mount", "read", "sizes"})
_STATUS_DIGITS = 3
# The least status with which POSIX has a shell say that a command did not run, or not to its own end.
_NOT_RUN = 126
# A status has three digits; what else stands in its place is shown up to here.
_CODE_SHOWN = 40


def _collect(session: _Session) -> tuple[Finding, ...]:
    """Read versions, settings and the kernel log; returns what is alarming in it."""
    script = collect_script(session.experiment.filesystem)
    sections = parse_sections(session.run("collect", script, timeout_s=STAGE_TIMEOUT_S).stdout)
    session.environment.update(_facts(section(sections, "facts")))
    tools = section(sections, "tools").partition("\n")[0]
    session.environment.update(bounded_facts({"filesystem_tools": tools}))
    messages = section(sections, "dmesg")
    session.keep("dmesg.log", messages)
    return findings(messages)


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
    return bounded_facts(facts)


def _tail(result: CommandResult) -> str:
    return (result.stderr.strip() or result.stdout.strip())[-2000:]
