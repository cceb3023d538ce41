"""A search as text, one line for each boot: for people to read and for `kab bisect replay` to make again.

    # comment
    experiment {...}                       as harness.parse.experimentjson writes it
    plan {...}                             all of the plan
    confirm yes                            a crash counts when it was seen twice (emulation)
    boot ends 0.0.0 baseline ok 3f2a99 {"queue_depth": [3.2, 3.3]}    # 6.1.192-2
    decided ends {...}                     what A/B said of them
    boot search 12.0.0 candidate ok 77ab01 {...}
    boot search 13.0.0 candidate crashed 9c21aa {"message": "...", "findings": [...], "samples": {...}}
    skip 4 11 "by hand"                    rung, after so many boots of the search; `unskip` puts it back
    twin 6 5 12                    rung whose kernel is that of another one, after so many boots
    boot proof:0-1:RUN 0.0.0 ...           and `decided proof:0-1:RUN`: an A/B run of neighbours
    boot counterproof:0-1:RUN 0.0.0 ...    the far rung (first number) against itself with a culprit undone

A boot's place is BLOCK.ORDER.ATTEMPT; the block of a boot of the search itself is its rung. A boot that failed keeps
what tells its failure from others: message, and the crash in the kernel's log down to the function where it happened.
Version 1 had no identical builds and revert tests, and of boots that failed either the samples or the message.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.bisect.evidence import Evidence, ends_of, rung_of
from harness.errors import ConfigError
from harness.model.bisection import BisectionPlan, IdenticalBuild, Mark, Subrun
from harness.model.experiment import Arm, BlockPlace, Experiment, Place, RungPlace, TrialSpec
from harness.model.run import SubrunRole
from harness.model.trial import Finding, Outcome, Trial, placed
from harness.model.verdict import Decision
from harness.parse.experimentjson import experiment_from_json, experiment_to_json
from harness.parse.foreign import printable
from harness.parse.plainjson import canonical, from_plain, to_plain
from harness.report.decisions import worded
from harness.stats.decide import decide
from harness.workloads.registry import metrics_of

_FIRST = "# kab bisect log, version 2"
_READABLE = frozenset({"# kab bisect log, version 1", _FIRST})
_DIGEST_DIGITS = 16


def write_log(run_id: str, evidence: Evidence) -> str:
    """The log of a search."""
    plan = evidence.plan
    lines = [
        _FIRST,
        printable(f"# search {run_id} from {plan.rungs[0].spec} to {plan.rungs[-1].spec}, {len(plan.rungs)} kernels"),
        f"experiment {experiment_to_json(evidence.experiment)}",
        f"plan {canonical(plan)}",
        f"confirm {'yes' if evidence.confirm else 'no'}",
    ]
    lines += [_boot("ends", trial, plan, rung) for rung, trial in ends_of(plan, evidence.ends)]
    if evidence.ends_decision is not None:
        lines.append(f"decided ends {canonical(evidence.ends_decision)}")
    marks = sorted(evidence.marks, key=lambda mark: mark.after_trials)
    for count, trial in enumerate(evidence.trials):
        lines += [_mark(mark) for mark in marks if mark.after_trials == count]
        lines += [
            _identical_build(identical) for identical in evidence.identical_builds if identical.after_trials == count
        ]
        lines.append(_boot("search", trial, plan, trial.place.rung))
    lines += [_mark(mark) for mark in marks if mark.after_trials >= len(evidence.trials)]
    lines += [
        _identical_build(identical)
        for identical in evidence.identical_builds
        if identical.after_trials >= len(evidence.trials)
    ]
    for subrun, trials, decision in evidence.proofs:
        name = f"{subrun.role}:{subrun.before}-{subrun.after}:{subrun.run_id}"
        lines += [_boot(name, trial, plan, rung_of(plan, subrun, trial.place.arm)) for trial in trials]
        lines.append(f"decided {name} {canonical(decision)}")
    return "\n".join(lines) + "\n"


def _boot(subrun: str, trial: Trial[Place], plan: BisectionPlan, rung: int | None) -> str:
    written = trial.place.written
    place = f"{written.block}.{written.order}.{written.attempt}"
    values = json.dumps(to_plain(trial.samples if trial.outcome is Outcome.OK else _failure(trial)))
    digest = trial.kernel_digest[:_DIGEST_DIGITS]
    # Arms that are no rung: a culprit's own parent, a culprit undone.
    named = plan.rungs[rung].version if rung is not None else "beside the ladder"
    return f"boot {subrun} {place} {written.arm} {trial.outcome} {digest} {values} # {printable(named)}"


def _failure(trial: Trial[Place]) -> dict[str, Any]:
    """What tells a failure from others, see harness.stats.faults."""
    crash = next((finding for finding in trial.findings if finding.kind.is_crash), None)
    findings = [replace(crash, excerpt=_until_the_place(crash))] if crash else []
    return {"message": trial.message, "findings": findings, "samples": trial.samples}


def _until_the_place(crash: Finding) -> str:
    """The excerpt as far as to the function that it happened in; its first line where it does not tell."""
    lines = crash.excerpt.splitlines()
    for count in range(1, len(lines) + 1):
        excerpt = "\n".join(lines[:count])
        if replace(crash, excerpt=excerpt).place == crash.place:
            return excerpt
    return crash.excerpt


def _identical_build(identical: IdenticalBuild) -> str:
    return f"twin {identical.rung} {identical.of} {identical.after_trials}"


def _mark(mark: Mark) -> str:
    return f"{'skip' if mark.skip else 'unskip'} {mark.rung} {mark.after_trials} {json.dumps(mark.reason)}"


@dataclass(slots=True)
class _Read:
    """A log while it is read."""

    experiment: Experiment | None = None
    plan: BisectionPlan | None = None
    confirm: bool = False
    # The boots of each A/B run, by its name; and those of the search itself.
    boots: dict[str, list[Trial[BlockPlace]]] = field(default_factory=dict)
    searched: list[Trial[RungPlace]] = field(default_factory=list)
    decided: dict[str, Decision] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    identical_builds: list[IdenticalBuild] = field(default_factory=list)


def read_log(text: str) -> Evidence:
    """The inverse of `write_log`; logs that were cut off are read as far as they go. Raises ConfigError with the line.

    The ends of a log without their decision are decided anew.
    """
    lines = text.splitlines()
    if not lines or lines[0] not in _READABLE:
        raise ConfigError("that is no log of a search", remedy="`kab bisect log` prints one.")
    read = _Read()
    for number, line in enumerate(lines, 1):
        try:
            _take(read, line)
        except (ValueError, KeyError, IndexError, TypeError, ConfigError) as error:
            raise ConfigError(f"line {number} of the log cannot be read: {error}") from error
    if read.experiment is None or read.plan is None:
        raise ConfigError("the log names no experiment or no plan")
    ends = tuple(read.boots.get("ends", ()))
    decision = read.decided.get("ends")
    if decision is None and ends and read.searched:
        metrics = metrics_of(read.experiment.workload)
        decision = decide(read.experiment, metrics, ends, confirm=read.confirm)
        decision = worded(decision, metrics)
    return Evidence(
        plan=read.plan,
        experiment=read.experiment,
        confirm=read.confirm,
        ends=ends if decision else (),
        ends_decision=decision,
        trials=tuple(read.searched),
        marks=tuple(read.marks),
        identical_builds=tuple(read.identical_builds),
        proofs=tuple(
            (_subrun(name), tuple(trials), read.decided[name])
            for name, trials in read.boots.items()
            if ":" in name and name in read.decided
        ),
    )


def steps_of(evidence: Evidence) -> Iterator[Evidence]:
    """The evidence as it was before each boot of the search, and at its end."""
    if evidence.ends_decision is None:
        yield evidence
        return
    for count in range(len(evidence.trials)):
        marks = tuple(mark for mark in evidence.marks if mark.after_trials <= count)
        identical_builds = tuple(
            identical for identical in evidence.identical_builds if identical.after_trials <= count
        )
        yield replace(
            evidence, trials=evidence.trials[:count], marks=marks, identical_builds=identical_builds, proofs=()
        )
    yield evidence


def _take(read: _Read, line: str) -> None:
    word, _, rest = line.strip().partition(" ")
    match word:
        case "" | "#":
            pass
        case "experiment":
            read.experiment = experiment_from_json(rest)
        case "plan":
            read.plan = from_plain(BisectionPlan, json.loads(rest))
        case "confirm":
            read.confirm = rest == "yes"
        case "boot":
            subrun, trial = _trial(rest)
            if subrun == "search":
                read.searched.append(placed(trial, RungPlace.read(trial.place)))
            else:
                read.boots.setdefault(subrun, []).append(trial)
        case "decided":
            subrun, _, document = rest.partition(" ")
            read.decided[subrun] = from_plain(Decision, json.loads(document))
        case "skip" | "unskip":
            rung, after, reason = rest.split(" ", 2)
            read.marks.append(
                Mark(rung=int(rung), skip=word == "skip", reason=json.loads(reason), after_trials=int(after))
            )
        case "twin":
            rung, of, after = rest.split()
            read.identical_builds.append(IdenticalBuild(rung=int(rung), of=int(of), after_trials=int(after)))
        case _:
            if not word.startswith("#"):
                raise ValueError(f"unknown word {word!r}")


def _trial(rest: str) -> tuple[str, Trial[BlockPlace]]:
    subrun, place, arm, outcome, digest, values = rest.split(" ", 5)
    block, order, attempt = (int(number) for number in place.split("."))
    said, _ = json.JSONDecoder().raw_decode(values)
    # Version 1 wrote a message alone, or samples alone.
    if isinstance(said, str):
        said = {"message": said}
    elif "message" not in said:
        said = {"message": "", "samples": said}
    return subrun, Trial(
        spec=TrialSpec(place=BlockPlace(block=block, order=order, arm=Arm(arm), attempt=attempt)),
        kernel_digest=digest,
        outcome=Outcome(outcome),
        message=said["message"],
        samples={name: tuple(float(value) for value in many) for name, many in said.get("samples", {}).items()},
        findings=tuple(from_plain(Finding, finding) for finding in said.get("findings", ())),
    )


def _subrun(name: str) -> Subrun:
    role, numbers, run_id = name.split(":", 2)
    before, after = (int(rung) for rung in numbers.split("-"))
    return Subrun(role=SubrunRole(role), before=before, after=after, run_id=run_id)
