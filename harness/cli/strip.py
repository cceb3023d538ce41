"""The ladder of a search on one line, and what comes next in one sentence."""

import itertools

from rich.text import Text

from harness.model.bisection import BisectionPlan, SearchView
from harness.parse.foreign import printable
from harness.report.search.reasons import view_reason

_STYLE = {"F": "bold green", "S": "bold red", "f": "green", "s": "red", "x": "dim", "?": "yellow"}
# Shades of what is not known, from surely fast to surely slow.
_SHADES = ((0.2, "green"), (0.4, "yellow4"), (0.6, "yellow"), (0.8, "orange3"), (1.01, "red"))
# Letters of a strip: a longer ladder has several kernels to a letter, the most telling of which is shown.
_WIDTH = 96
# Kernels that were measured tell most, then those believed to be something, then those that cannot be tested.
_TELLING = "FS?fsx."


def rung_name(plan: BisectionPlan, rung: int) -> str:
    """A rung's kernel, short: its commit, or its upstream version."""
    if plan.built:
        return printable(plan.rungs[rung].release)
    version = plan.rungs[rung].version
    return printable(version.rpartition("-")[0] or version)


def coloured(view: SearchView) -> Text:
    """The strip between its ends, in colours; what is unknown is shaded by how likely it is to be slow.

    Where one letter stands for several kernels, ``|`` is an edge among them.
    """
    text = Text(f"{rung_name(view.plan, 0)} ")
    for letter, slow in _letters(view):
        style = _STYLE.get(letter, "dim")
        if letter == "." and slow is not None:
            style = next(colour for limit, colour in _SHADES if slow < limit)
        text.append(letter, style=style)
    text.append(f" {rung_name(view.plan, view.plan.last)}")
    return text


def _letters(view: SearchView) -> list[tuple[str, float | None]]:
    """The letters, with the probability that their kernels are slow."""
    count = len(view.strip)
    if count <= _WIDTH:
        return list(zip(view.strip, view.slow, strict=True))
    letters = []
    for start, stop in itertools.pairwise(round(place * count / _WIDTH) for place in range(_WIDTH + 1)):
        inside, slow = view.strip[start:stop], view.slow[start:stop]
        known = [chance for chance in slow if chance is not None]
        edge = any(start <= found.before and found.after < stop for found in view.edges)
        letter = "|" if edge or {"F", "S"} <= set(inside) else min(inside, key=_TELLING.index)
        letters.append((letter, sum(known) / len(known) if known else None))
    return letters


def strip_line(view: SearchView) -> str:
    """The strip between its ends, plain."""
    return coloured(view).plain


def next_sentence(view: SearchView) -> str:
    """``next 6.12.57 (rung 2): it halves what is left (0.97 bits expected); about 5 boots left``."""
    if view.next is None:
        return view_reason(view) or "nothing is left to boot but the proofs of what is found"
    left = "" if view.boots_left is None else f"; about {view.boots_left} boots left, then the proofs"
    return f"next {rung_name(view.plan, view.next.rung)} (rung {view.next.rung}): {view_reason(view)}{left}"


def edges_sentence(view: SearchView) -> str:
    """``removed between 6.1.192 and 6.12.43, restored between 6.18.15 and 7.2.6 (P 0.998)``."""
    if not view.edges:
        return f"no edge (P {view.probability:.3g})"
    places = ", ".join(
        f"{edge.kind} between {rung_name(view.plan, edge.before)} and {rung_name(view.plan, edge.after)}"
        for edge in view.edges
    )
    return f"{places} (P {view.probability:.3g})"
