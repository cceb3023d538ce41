"""Files of boots that a page shows: how each boot was made, and of those that failed why."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.experiment import Place
from harness.model.trial import Outcome, Trial
from harness.model.workload import Workload
from harness.parse.headtail import shortened
from harness.workloads.registry import KINDS, artifacts_of

# Artifacts that say how a boot was made, and those that say why it failed.
_HOW = ("domain.xml", *(name for kind in KINDS.values() for name in kind.artifacts))
_WHY = ("console.log", "dmesg.log", "trial.log", "build.log", "prepare.txt", "check.txt", "collect.txt")
ATTACHMENTS = (*_HOW, *_WHY)
"""Names of all artifacts that the page can show: what to load before making it."""

# Longer texts (a console that scrolls for ever) are cut in the middle: how they begin and end tells most.
_MOST_BYTES = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An artifact to be read in the report; equal ones of several boots are shown once."""

    anchor: str
    name: str
    text: str
    # Numbers of the boots it belongs to.
    boots: tuple[int, ...]


def attachments(workload: Workload, trials: Sequence[Trial[Place]]) -> tuple[Attachment, ...]:
    """How each boot was made; of boots that failed the logs too."""
    how = ("domain.xml", *artifacts_of(workload))
    boots: dict[tuple[str, bytes], list[int]] = {}
    for index, trial in enumerate(trials, 1):
        wanted = how if trial.outcome is Outcome.OK else (*how, *_WHY)
        for name in wanted:
            if name in trial.artifacts:
                boots.setdefault((name, trial.artifacts[name]), []).append(index)
    return tuple(
        Attachment(anchor=f"file-{place}", name=name, text=_readable(content), boots=tuple(numbers))
        for place, ((name, content), numbers) in enumerate(boots.items(), 1)
    )


def _readable(content: bytes) -> str:
    # Controls (a console writes colours and NULs) are shown by the page, as they are everywhere in it.
    return shortened(content, _MOST_BYTES).decode(errors="replace")
