"""Why a cell of a gate stands where it does, in sentences."""

from collections.abc import Sequence

from harness.report.decisions import fault_words
from harness.stats.gate import GateReason, GateReasonKind
from harness.stats.newwarnings import NewWarning

# Of the warnings of a cell that are told; its report has all.
_SHOWN = 3


def gate_reason(why: GateReason, *, missing: Sequence[str] = ()) -> str:
    """A sentence without a full stop. `missing`: metrics asked for that no boot gave."""
    metrics = _list(why.metrics)
    match why.kind:
        case GateReasonKind.OPEN:
            return f"{_so_far(why)}, {_undecided(why)}"
        case GateReasonKind.CLEARED:
            return f"{metrics} shown to be not worse than allowed"
        case GateReasonKind.WORSE:
            return f"{metrics} shown to be worse than allowed"
        case GateReasonKind.FAILS:
            return "; ".join([*map(fault_words, why.faults), *_warnings(why.warnings)])
        case GateReasonKind.FAILS_UNNAMED:
            return f"{_faults(why)}: speed cannot be compared, and the policy does not name such failures"
        case GateReasonKind.FAILS_ALIKE:
            return f"{_faults(why)}, as the baseline did: that says nothing of the candidate"
        case GateReasonKind.BASELINE_FAILS:
            return f"{_faults(why)}: there is nothing to be measured against"
        case GateReasonKind.BASELINE_DATA:
            return f"{_faults(why) or 'the baseline lost or changed data'}: that is nothing to be measured against"
        case GateReasonKind.NO_METRIC:
            return f"no boot gave a metric that counts ({_list(missing or why.metrics)})"
        case GateReasonKind.ONE_SIDED:
            return f"boots of one kernel alone gave {metrics}"
        case GateReasonKind.CAP:
            return f"all {why.max_blocks} blocks are made, {_undecided(why)}"


def _so_far(why: GateReason) -> str:
    return f"{why.blocks} of at most {why.max_blocks} blocks"


def _undecided(why: GateReason) -> str:
    open_metrics = f"{_list(why.metrics)} not decided" if why.metrics else "nothing decided"
    pending = [f"whether this is new is not proven: {warning.message}" for warning in why.warnings[:_SHOWN]]
    return "; ".join([open_metrics, *pending]) if why.metrics or not pending else "; ".join(pending)


def _faults(why: GateReason) -> str:
    return "; ".join(map(fault_words, why.faults))


def _warnings(found: Sequence[NewWarning]) -> list[str]:
    told = [
        f"new in the candidate's log, in {one.boots} of {one.blocks} boots: {one.message}" for one in found[:_SHOWN]
    ]
    more = len(found) - _SHOWN
    return [*told, f"{more} more new warnings"] if more > 0 else told


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
