"""What no changelog lists, in sentences; and such sentences, as earlier versions stored them, read."""

import re
from collections.abc import Sequence

from harness.model.history import Gap, GapKind

_SENTENCES = {
    GapKind.NO_CHANGELOG: "{newer} came without a changelog.",
    GapKind.ABSENT: "The changelog does not hold {newer}.",
    GapKind.BEGINS: "The changelog begins with {at}: what came between {older} and that is not listed.",
    GapKind.FORKED: "{newer} does not descend from {older} but from {at}: stable branches fork, and what only {older} "
    "had taken is not listed.",
    GapKind.RELEASES: "Few or no commits are listed of new upstream releases: {names}.",
    GapKind.UPDATES: "Few or no commits are listed of stable updates: {names}.",
    GapKind.NEWEST: "Only the newest {at} commits were looked at.",
    GapKind.TOLD: "{text}",
}
# A range is of one series: "6.13.1 to 6.13.11".
_RANGE = r"[^ ,]+\.\d{1,4} to [^ ,]+\.\d{1,4}"
_WORD, _NAMES = r"(?P<{}>\S+)", rf"(?P<names>(?:{_RANGE}|[^ ,]+)(?:, (?:{_RANGE}|[^ ,]+))*)"


def gap_sentence(gap: Gap) -> str:
    """What is not listed."""
    return _SENTENCES[gap.kind].format(
        older=gap.older, newer=gap.newer, at=gap.at, names=names_text(gap.names), text=gap.text
    )


def names_text(names: Sequence[str]) -> str:
    """``6.13.1 to 6.13.11, 6.14.1``."""
    runs: list[list[str]] = []
    for name in names:
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _follows(before: str, after: str) -> bool:
    series, dot, number = before.rpartition(".")
    # "6.13" and "6.14" are releases of their own.
    return "." in series and bool(dot) and number.isdecimal() and after == f"{series}.{int(number) + 1}"


def read_gap(stored: Gap | str) -> Gap:
    """A gap as it is stored: versions before gaps had kinds stored the sentence."""
    if isinstance(stored, Gap):
        return stored
    for kind, sentence in _SENTENCES.items():
        found = _pattern(sentence).fullmatch(stored) if kind is not GapKind.TOLD else None
        if found is not None:
            values = found.groupdict()
            names = _names(values.pop("names", ""))
            return Gap(kind=kind, names=names, **values)
    return Gap(kind=GapKind.TOLD, text=stored)


def _pattern(sentence: str) -> re.Pattern[str]:
    """A sentence's inverse; what it names twice must be the same."""
    parts, seen = [], set()
    for fixed, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", sentence):
        parts.append(re.escape(fixed))
        if name in seen:
            parts.append(f"(?P={name})")
        elif name:
            parts.append(_NAMES if name == "names" else _WORD.format(name))
            seen.add(name)
    return re.compile("".join(parts))


def _names(text: str) -> tuple[str, ...]:
    names: list[str] = []
    for part in filter(None, text.split(", ")):
        first, _, last = part.partition(" to ")
        names.append(first)
        while last and names[-1] != last:
            series, _, number = names[-1].rpartition(".")
            names.append(f"{series}.{int(number) + 1}")
    return tuple(names)
