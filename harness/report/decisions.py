"""What the statistics say, in sentences: why a verdict is what it is, by which metric, and what to mind."""

from collections.abc import Mapping
from dataclasses import replace

from harness.model.trial import Outcome
from harness.model.verdict import (
    ArmFault,
    Caution,
    CautionKind,
    ChoiceKind,
    Comparison,
    Decision,
    Reason,
    ReasonKind,
    Stop,
    StopKind,
    Verdict,
)
from harness.model.workload import Metric

_FAILED = {
    Outcome.BUILD_FAILED: "could not be built",
    Outcome.BOOT_FAILED: "did not boot",
    Outcome.CRASHED: "crashed",
    Outcome.HUNG: "hung",
    Outcome.CORRUPTED: "lost or changed data",
    Outcome.WORKLOAD_FAILED: "could not run the workload",
    Outcome.USERSPACE_DIED: "lost a program of its guest",
}


def decision_reason(decision: Decision) -> str:
    """As it was stored, or from its kind."""
    why = decision.why
    if decision.reason or why is None:
        return decision.reason
    found = decision.comparisons.get(why.metric)
    match why.kind:
        case ReasonKind.FAULTS:
            return _faults(why)
        case ReasonKind.NO_METRIC:
            return "no boot gave a metric that may decide"
        case ReasonKind.NO_BLOCK:
            return "no block is complete yet"
        case ReasonKind.STOPPED:
            assert why.stop is not None, "see harness.stats.decide"
            return stop_reason(why.stop)
        case ReasonKind.MOVED:
            assert found is not None, "see harness.stats.decide"
            return _moved(why, found)
        case ReasonKind.SAME:
            assert found is not None, "see harness.stats.decide"
            return _same(why, found)
        case ReasonKind.CAP:
            return _capped(why, found)
        case ReasonKind.LEANING:
            return f"{' and '.join(why.agree)} agrees, but {', '.join(why.others)} leans towards a difference"
        case ReasonKind.UNTOLD:
            return f"{' and '.join(why.agree)} agrees; {', '.join(why.others)} cannot be told yet"
        case ReasonKind.OPEN:
            return f"{why.blocks} of at most {why.max_blocks} blocks, nothing decided"


def choice_words(decision: Decision) -> str:
    """How the deciding metric was chosen: as it was stored, or from its kind."""
    choice = decision.choice
    if decision.how or choice is None:
        return decision.how
    split = f"of {choice.candidates} ({_percent(choice.error)} error split evenly)"
    match choice.kind:
        case ChoiceKind.NAMED:
            return "named by the user"
        case ChoiceKind.NOT_YET:
            return "not chosen yet"
        case ChoiceKind.ONLY:
            return "the workload's only deciding metric"
        case ChoiceKind.SEPARATES:
            return f"separates the arms best {split}"
        case ChoiceKind.SEPARATES_SPEEDS:
            return f"the speed that separates the arms best, {split}"
        case ChoiceKind.CALMEST:
            return f"nothing separates the arms; spreads least {split}"
        case ChoiceKind.REFERENCE:
            return f"as in run {choice.run}"


def comparison_notes(comparison: Comparison, metric: Metric | None) -> tuple[str, ...]:
    """What to mind of a comparison: as it was stored, or from its kinds."""
    return comparison.notes or tuple(_caution(one, metric.unit if metric else "") for one in comparison.cautions)


def _caution(caution: Caution, unit: str) -> str:
    match caution.kind:
        case CautionKind.FLOOR:
            return f"values below {caution.value:.3g} {unit}".rstrip() + " count as that"
        case CautionKind.RESOLUTION:
            return f"boots agree to better than {caution.value:.1%}; that much spread was assumed"
        case CautionKind.TWO_GROUPS:
            return f"boots of the {caution.arm} fall into two groups"
        case CautionKind.DRIFT:
            return f"boots of the {caution.arm} drift over the run"


def worded(decision: Decision, metrics: Mapping[str, Metric]) -> Decision:
    """The decision with its sentences beside their kinds, as it is stored."""
    return replace(
        decision,
        how=choice_words(decision),
        reason=decision_reason(decision),
        comparisons={
            name: replace(found, notes=comparison_notes(found, metrics.get(name)))
            for name, found in decision.comparisons.items()
        },
    )


def stop_reason(stop: Stop) -> str:
    """Why the plan has no next boot."""
    match stop.kind:
        case StopKind.CAP:
            return f"the cap of {stop.count} boots is reached"
        case StopKind.FAULT:
            return f"{' and '.join(stop.arms)} cannot be measured"
        case StopKind.LOSSES:
            return f"{stop.count} boots in a row were lost: {stop.message}"
        case StopKind.UNSTABLE:
            return f"{stop.count} boots of the {stop.arms[0]} failed, each in another way: {stop.message}"
        case StopKind.TROUBLE:
            return f"no further boot could be made: {stop.message}"
        case StopKind.GATE:
            return stop.message


def fault_words(fault: ArmFault) -> str:
    """``the candidate crashed in 2 of 2 boots (MESSAGE)``."""
    return f"the {fault.arm} {_FAILED[fault.outcome]} in {fault.failed} of {fault.boots} boots ({fault.message})"


def _faults(why: Reason) -> str:
    parts = [fault_words(fault) for fault in why.faults]
    parts += [f"the {arm} ran" for arm in why.ran]
    what = "a kernel that fails" if any(fault.outcome.is_kernel_fault for fault in why.faults) else "failed boots"
    return "; ".join(parts) + f": speed cannot be compared with {what}"


def _moved(why: Reason, found: Comparison) -> str:
    reason = f"{found.metric} is {found.ratio:.3f} times the baseline's ({_interval(found)})"
    opposite = Verdict.SLOWER if found.verdict is Verdict.FASTER else Verdict.FASTER
    return f"{reason}; but {' and '.join(why.others)} says {opposite}" if why.others else reason


def _same(why: Reason, found: Comparison) -> str:
    reason = f"{found.metric} agrees within {_percent(why.margin)} ({_interval(found)})"
    if why.others:
        reason += f"; the verdict rests on {' and '.join(why.agree)}: {', '.join(why.others)} cannot confirm it"
    if why.speeds:
        reason += f"; {' and '.join(why.speeds)} can differ by {_percent(round(why.reach, 3))} at most"
    return reason


def _capped(why: Reason, found: Comparison | None) -> str:
    if found is None:
        return f"the cap of {2 * why.max_blocks} boots is reached"
    if found.low is None or found.high is None:
        return f"{found.blocks} blocks of {found.metric} are too few for any statement at this error"
    margin = max(1 / found.low, found.high) - 1
    reason = (
        f"{found.blocks} blocks leave {found.metric} between {found.low:.3f} and {found.high:.3f} of the baseline's; "
        f"a margin of {_percent(margin)} would have been met"
    )
    return f"{reason}; {' and '.join(why.agree)} agrees" if why.agree else reason


def _interval(found: Comparison) -> str:
    if found.low is None or found.high is None:
        return f"{found.blocks} blocks give no interval yet"
    return f"{_percent(1 - found.error)} interval {found.low:.3f} to {found.high:.3f}, {found.blocks} blocks"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.4g} %"
