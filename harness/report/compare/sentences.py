"""What is said of an A/B run in every form: the verdict as a sentence, which boots failed, what the kernels logged."""

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.model.experiment import Arm, BlockPlace
from harness.model.run import KernelRecord, Run
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Decision, Verdict
from harness.model.workload import Metric
from harness.parse.units import fraction_text
from harness.report.decisions import comparison_notes
from harness.report.wording import counted, deciding, effect, figures, ordered, speed

_DIGEST_DIGITS = 8


def kernel_names(run: Run) -> tuple[str, str]:
    """Names of baseline and candidate, told apart by version or digest where the release is the same."""
    one, other = run.baseline, run.candidate
    if one.name != other.name or one.digest == other.digest:
        return one.name, other.name
    if one.version != other.version:
        return f"{one.name} ({one.version})", f"{other.name} ({other.version})"
    return (
        f"{one.name} [{one.digest[:_DIGEST_DIGITS]}]",
        f"{other.name} [{other.digest[:_DIGEST_DIGITS]}]",
    )


def is_same_kernel(run: Run) -> bool:
    """Whether the run compares a kernel with itself (an A/A run)."""
    return run.baseline.digest == run.candidate.digest


def claim(run: Run, decision: Decision | None) -> str:
    """The verdict as a sentence without figures."""
    baseline, candidate = kernel_names(run)
    if decision is None:
        return f"no verdict yet on candidate {candidate} against baseline {baseline}: the run is open"
    same = is_same_kernel(run)
    match decision.verdict:
        case Verdict.FASTER | Verdict.SLOWER if same:
            return (
                f"{candidate} compared with itself came out {decision.verdict}: "
                "the host, not the kernel, made the difference"
            )
        case Verdict.FASTER | Verdict.SLOWER:
            return f"candidate {candidate} is {decision.verdict} than baseline {baseline}"
        case Verdict.SAME if same:
            return f"{candidate} compared with itself is the same, as it must be"
        case Verdict.SAME:
            margin = fraction_text(run.experiment.margin)
            return f"candidate {candidate} is as fast as baseline {baseline}, within {margin}"
        case _ if same:
            return f"cannot tell whether {candidate} compared with itself is the same, as it must be"
        case _:
            return f"cannot tell whether candidate {candidate} is faster or slower than baseline {baseline}"


def headline(run: Run, decision: Decision | None, metrics: Mapping[str, Metric]) -> str:
    """The verdict in one sentence, with the effect and its interval; a witness never stands for the speed alone."""
    comparison, second = deciding(decision), speed(run, decision, metrics)
    sentence = f"{claim(run, decision)}: {figures(comparison)}" if comparison else claim(run, decision)
    return f"{sentence}; {effect(second)}" if second else sentence


def outcome_lines(trials: Sequence[Trial[BlockPlace]]) -> list[str]:
    """Boots that gave nothing, one line for each way and arm: how many of how many, and what the first one said."""
    lines = []
    boots = Counter(trial.place.arm for trial in trials)
    failures: dict[tuple[Arm, Outcome], list[Trial[BlockPlace]]] = {}
    for trial in trials:
        if trial.outcome is not Outcome.OK:
            failures.setdefault((trial.place.arm, trial.outcome), []).append(trial)
    for (arm, outcome), failed in failures.items():
        first = failed[0].message.strip().splitlines()
        why = f": {first[0]}" if first else ""
        blame = " (the host's fault, says nothing about the kernel)" if outcome is Outcome.LOST else ""
        lines.append(f"{outcome}: {len(failed)} of {counted(boots[arm], 'boot')} of the {arm}{blame}{why}")
    return lines


def finding_lines(trials: Sequence[Trial[BlockPlace]]) -> list[str]:
    """What the kernel logs showed: one line for each kind and wording, with arms and number of boots."""
    seen: dict[str, tuple[str, Counter[Arm]]] = {}
    for trial in trials:
        for signature, message in {
            found.signature: f"{found.kind}: {found.message}" for found in trial.findings
        }.items():
            seen.setdefault(signature, (message, Counter()))[1][trial.place.arm] += 1
    lines = []
    for message, arms in seen.values():
        places = ", ".join(f"{counted(count, 'boot')} of the {arm}" for arm, count in arms.items())
        lines.append(f"{message} ({places})")
    return lines


def note_lines(decision: Decision | None, metrics: Mapping[str, Metric]) -> list[str]:
    """Warnings of the statistics, equal ones of several metrics in one line."""
    notes: dict[str, list[str]] = {}
    for comparison in ordered(decision, metrics):
        for note in comparison_notes(comparison, metrics.get(comparison.metric)):
            notes.setdefault(note, []).append(comparison.metric)
    return [f"{', '.join(names)}: {note}" for note, names in notes.items()]


def kernel_line(kernel: KernelRecord) -> str:
    """Spec, what it was resolved to, and the content's hash."""
    version = f" ({kernel.version})" if kernel.version and kernel.version != kernel.release else ""
    return f"{kernel.spec} = {kernel.release}{version}, content {kernel.digest[:12]}"
