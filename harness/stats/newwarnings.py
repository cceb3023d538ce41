"""Warnings in the kernel's log that a candidate has and its baseline has not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.experiment import Arm, BlockPlace
from harness.model.trial import Finding, FindingKind, Trial
from harness.stats.blocks import complete_blocks

# What load, memory or the disk bring about, or a sampler finds: the code that is struck is chance, and another
# release words it in another way. All lines of such a kind are one.
_STRIKES_ANYWHERE = frozenset(
    {
        FindingKind.HUNG_TASK,
        FindingKind.SOFT_LOCKUP,
        FindingKind.RCU_STALL,
        FindingKind.KCSAN,
        FindingKind.ALLOCATION,
        FindingKind.OOM,
        FindingKind.IO_ERROR,
    }
)
_FEWEST_BOOTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWarning:
    """A warning that boots of the candidate show and no boot of the baseline does."""

    kind: FindingKind
    # What its lines share: Finding.signature, or the kind where that is chance.
    signature: str
    # The first of them.
    message: str
    # Blocks in which the candidate's boot shows it, of all complete ones.
    boots: int
    blocks: int
    # Whether chance is excluded, see `new_warnings`.
    counts: bool
    # It does not count yet, and every boot of the candidate shows it: a few blocks more will tell.
    pending: bool


def warning_of(finding: Finding) -> str | None:
    """What lines of the same warning share; None for a crash, which is a fault (see harness.stats.faults)."""
    if finding.kind.is_crash:
        return None
    return str(finding.kind) if finding.kind in _STRIKES_ANYWHERE else finding.signature


def boots_that_prove(error: float) -> tuple[int, int]:
    """Boots that must show a warning until it counts: if each boot of the candidate does, and if only some do."""
    return (
        max(_FEWEST_BOOTS, math.ceil(math.log(2 / error, 4) - 1e-9)),
        max(_FEWEST_BOOTS, math.ceil(math.log2(2 / error) - 1e-9)),
    )


def new_warnings(trials: Sequence[Trial[BlockPlace]], *, error: float) -> tuple[NewWarning, ...]:
    """Warnings of the candidate that no boot of the baseline has, in order of appearance.

    Every kind that is no crash may count: how rarely a host makes a kernel say it need not be known. If the kernels
    do not differ, a warning that falls on some boots, at whatever rate p, is counted with a probability of at most
    `error`, whenever it is asked:

    - Each of the candidate's first a boots shows it and none of the baseline's: (p (1 - p))^a, at most 4^-a.
    - It has fallen on b boots of the candidate, and on none of the baseline: a block in which one boot alone shows it
      is as likely to be the baseline's, so this is at most 2^-b (a sign test that ends with the first contrary block).

    Both take half of `error`. This is for one warning; a kernel with many that come by chance has as many chances.
    """
    every, some = boots_that_prove(error)
    blocks = [arms for _, arms in sorted(complete_blocks(trials).items())]
    known = {warning for trial in trials if trial.place.arm is Arm.BASELINE for warning in _warnings(trial)}
    shown = [_warnings(arms[Arm.CANDIDATE]) for arms in blocks]
    found = []
    first: dict[str, Finding] = {}
    for findings in shown:
        first = {**findings, **first}
    for warning, finding in first.items():
        if warning in known:
            continue
        boots = sum(warning in findings for findings in shown)
        counts = boots >= some or (len(shown) >= every and all(warning in findings for findings in shown[:every]))
        found.append(
            NewWarning(
                kind=finding.kind,
                signature=warning,
                message=finding.message,
                boots=boots,
                blocks=len(shown),
                counts=counts,
                pending=not counts and boots == len(shown),
            )
        )
    return tuple(found)


def _warnings(trial: Trial[BlockPlace]) -> dict[str, Finding]:
    """Warnings of one boot, each with its first line."""
    found: dict[str, Finding] = {}
    for finding in trial.findings:
        warning = warning_of(finding)
        if warning is not None:
            found.setdefault(warning, finding)
    return found
