"""Inside a booted guest: prepare, warm up, iterate, check the data, collect.

Written against `Guest`, and against what kinds of workloads and probes say of themselves (`harness.workloads`).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from harness.errors import DataError, WorkloadError
from harness.interfaces import Guest
from harness.model.experiment import Experiment
from harness.model.guest import MIB, AttachedDisk, CommandResult
from harness.model.trial import Finding, Stage
from harness.model.workload import Workload
from harness.parse.console import findings
from harness.parse.headtail import shortened
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
from harness.render.workload import guest_job
from harness.workloads import registry
from harness.workloads.kinds import DataCheck, GuestJob, Ran, Reading, Step, WorkloadKind
from harness.workloads.probes import Probe

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
class _Measuring:
    """One workload in one guest, and what it has given so far."""

    guest: Guest
    experiment: Experiment
    disk: AttachedDisk
    kind: WorkloadKind
    job: GuestJob
    # The test disk's name in this guest, known once it is prepared.
    disk_name: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)

    @property
    def workload(self) -> Workload:
        return self.experiment.workload

    def take(self, values: Mapping[str, float]) -> None:
        """Add the values of an iteration."""
        for name, value in values.items():
            self.samples.setdefault(name, []).append(value)

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
    """Run the experiment's workload in `guest` on `disk`; `seed` fixes all that is random in it.

    `artifacts` is filled as they come, so that a failure keeps what there was until then.

    Raises WorkloadError (mkfs, mount or the workload failed), DataError (data read back or the filesystem is wrong),
    and what ``Guest.run`` raises.
    """
    workload = experiment.workload
    measuring = _Measuring(
        guest=guest,
        experiment=experiment,
        disk=disk,
        kind=registry.kind_of(workload),
        job=guest_job(workload, directory=MOUNT_POINT, seed=seed),
    )
    if artifacts is not None:
        measuring.artifacts = artifacts
    on_stage(Stage.PREPARE, f"{experiment.filesystem.type}, {workload.name}")
    _prepare(measuring)
    probes = registry.PROBES.values()
    beside = [probe for probe in probes if not probe.apart]
    if measuring.job.warm_up is not None:
        on_stage(Stage.WARMUP, "")
        _iterate(measuring, measuring.job.warm_up, "warm-up", beside)
    for number in range(workload.iterations):
        on_stage(Stage.MEASURE, f"{number + 1}/{workload.iterations}")
        measuring.take(_iterate(measuring, measuring.job.iterate, str(number), beside))
    for probe in probes:
        if probe.apart:
            # What such a probe costs is in the workload's own figures: only what it saw itself is taken.
            on_stage(Stage.MEASURE, probe.name)
            seen = _iterate(measuring, measuring.job.iterate, probe.name, [probe])
            own = {metric.name for metric in probe.metrics}
            measuring.take({name: value for name, value in seen.items() if name in own})
    on_stage(Stage.CHECK, experiment.filesystem.type)
    _check(measuring)
    on_stage(Stage.COLLECT, "")
    found = _collect(measuring)
    return Measurement(
        samples={name: tuple(values) for name, values in measuring.samples.items()},
        findings=found,
        environment=measuring.environment,
        artifacts=measuring.artifacts,
    )


def _prepare(measuring: _Measuring) -> None:
    """Make the filesystem and the workload's files; learn the disk's name and settings."""
    workload = measuring.workload
    measuring.artifacts.update({name: text.encode() for name, text in measuring.job.artifacts.items()})
    script = prepare_script(measuring.disk, measuring.experiment.filesystem, measuring.job)
    timeout_s = STAGE_TIMEOUT_S + workload.disk_bytes / _SLOWEST_LAYOUT_BYTES_S
    sections = parse_sections(measuring.run("prepare", script, timeout_s=timeout_s).stdout)
    measuring.disk_name = parse_disk_name(section(sections, "disk"))
    measuring.environment.update(bounded_facts({"mount": section(sections, "mount")}))
    measuring.environment.update(_facts(section(sections, "queue")))


def _iterate(measuring: _Measuring, step: Step, label: str, probes: Sequence[Probe]) -> dict[str, float]:
    """One iteration with probes around it; returns what workload and probes yield."""
    kind = measuring.kind
    script = iterate_script(measuring.disk_name, step, probes)
    result = measuring.guest.run("bash -s", timeout_s=step.longest_s + STAGE_TIMEOUT_S, stdin=script.encode())
    sections = parse_sections(result.stdout)
    output = sections.get("output", "")
    measuring.keep(f"{kind.name}-{label}.{kind.output_type}", output)
    for probe in probes:
        texts = (f"{when}\n{sections.get(f'{probe.name}-{when}', '')}\n" for when in ("before", "after"))
        measuring.keep(f"{probe.artifact}-{label}.txt", "\n".join(texts))
    if result.cut_bytes:
        raise WorkloadError(f"{kind.name} printed too much to be read: {result.cut_bytes} bytes of it were left out")
    reading = _reading(kind, result, sections.get("status", ""), output)
    measuring.environment.update(bounded_facts(reading.facts))
    found = dict(reading.samples)
    for probe in probes:
        before, after = (section(sections, f"{probe.name}-{when}") for when in ("before", "after"))
        found.update(probe.read(before, after, reading.done))
    return found


def _reading(kind: WorkloadKind, result: CommandResult, states: str, output: str) -> Reading:
    """What the workload's command gave. Raises WorkloadError where it failed, or does not tell how it ended."""
    code = parse_pairs(states).get("command", "")
    if result.status != 0 or (code and not _is_a_status(code)):
        shown = code if code and code != "0" else str(result.status)
        said = result.stderr.strip() or output.strip()
        raise WorkloadError(f"{kind.name} failed in the guest with status {shown[:_CODE_SHOWN]}: {said[-2000:]}")
    if not code:
        raise WorkloadError(f"the guest did not tell how {kind.name} ended")
    return kind.read(Ran(output=output, errors=result.stderr, status=int(code)))


def _check(measuring: _Measuring) -> None:
    """Data and filesystem must have survived the workload. Raises DataError when they have not."""
    check, filesystem = measuring.job.check, measuring.experiment.filesystem
    script = check_script(measuring.disk_name, filesystem, check)
    timeout_s = 2 * STAGE_TIMEOUT_S + measuring.workload.disk_bytes / _SLOWEST_LAYOUT_BYTES_S
    result = measuring.run("check", script, timeout_s=timeout_s)
    sections = parse_sections(result.stdout)
    states = parse_pairs(section(sections, "status"))
    for step, code in failed_steps(states).items():
        known = _STEPS.get(step, "")
        what = known.format(program=measuring.kind.name) if known else f"{step[:_CODE_SHOWN]} ended"
        message = f"{what} with status {code[:_CODE_SHOWN]}: {sections.get(step, '')[-2000:]}"
        # Only these accuse data.
        if step in _OF_DATA and _is_a_verdict(code):
            raise DataError(message, log=result.stdout)
        raise WorkloadError(message)
    if missing := [step for step in _steps(check) if step not in states]:
        raise WorkloadError(f"the check of the data ended early, without: {', '.join(missing)}")
    expected = "\n".join(f"{MOUNT_POINT}/{name} {size_bytes}" for name, size_bytes in check.kept)
    if sections.get("sizes", "") != expected:
        raise DataError(
            f"files have other sizes than before:\n{sections.get('sizes', '')[-2000:]}\ninstead of\n{expected}",
            log=result.stdout,
        )


def _steps(check: DataCheck) -> list[str]:
    """The steps that this check has."""
    absent = {"write": not check.write, "read": not check.read_back, "sizes": not check.kept}
    return [step for step in _STEPS if not absent.get(step)]


def _is_a_status(code: str) -> bool:
    return code.isascii() and code.isdecimal() and len(code) <= _STATUS_DIGITS


def _is_a_verdict(code: str) -> bool:
    """Whether a shell's status is the command's own: not 126 and 127 (no such tool), nor above 128 (a signal)."""
    return _is_a_status(code) and int(code) < _NOT_RUN


_STEPS = {
    "write": "writing the data to be checked failed",
    "unmount": "the test filesystem could not be unmounted: umount ended",
    "fsck": "the filesystem check failed",
    "mount": "the filesystem could not be mounted again: mount ended",
    "read": "data read back is not what was written: {program} ended",
    "sizes": "files of the workload are gone: stat ended",
}
# Steps whose failure says that what was written is not what is there.
_OF_DATA = frozenset({"fsck", "mount", "read", "sizes"})
_STATUS_DIGITS = 3
# The least status with which POSIX has a shell say that a command did not run, or not to its own end.
_NOT_RUN = 126
# A status has three digits; what else stands in its place is shown up to here.
_CODE_SHOWN = 40


def _collect(measuring: _Measuring) -> tuple[Finding, ...]:
    """Read versions, settings and the kernel log; returns what is alarming in it."""
    script = collect_script(measuring.experiment.filesystem)
    sections = parse_sections(measuring.run("collect", script, timeout_s=STAGE_TIMEOUT_S).stdout)
    measuring.environment.update(_facts(section(sections, "facts")))
    tools = section(sections, "tools").partition("\n")[0]
    measuring.environment.update(bounded_facts({"filesystem_tools": tools}))
    messages = section(sections, "dmesg")
    measuring.keep("dmesg.log", messages)
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
