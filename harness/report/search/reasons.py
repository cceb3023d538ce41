"""A search's reasons in words: what is booted next, what is skipped, why it ended, and what to doubt of it."""

from collections.abc import Sequence

from harness.bisect.metric import FollowedWhy, MetricChoice
from harness.model.bisection import (
    BisectionPlan,
    Blocked,
    Edge,
    EdgeWish,
    NextBoot,
    NextWhy,
    Obstacle,
    SearchView,
    Skip,
    SkipKind,
)

# Probability of having missed a stretch from which it is said; and above which nobody can be said to have looked.
_WORTH_A_WORD = 0.001
_LOOKED = 0.5

_NEXT = {
    NextWhy.FAILED_ONCE: "its last boot failed, and one failure proves nothing",
    NextWhy.DOUBT: "once more, for its boots leave doubt ({bits:.2f} bits expected)",
    NextWhy.HALVES: "it halves what is left ({bits:.2f} bits expected)",
    NextWhy.OTHER_STATE: "it may show another state ({bits:.2f} bits expected)",
    NextWhy.HIDDEN: "all so far are alike; {where}, for another stretch may hide there ({missed:.0%} in all)",
}


def next_reason(coming: NextBoot) -> str:
    """Why a kernel is booted next, in half a sentence."""
    where = "once more" if coming.again else "beside it"
    return _NEXT[coming.why].format(bits=coming.bits, missed=coming.missed, where=where)


def view_reason(view: SearchView) -> str:
    """Why a kernel is booted next, or why the search cannot go on; empty where it is over."""
    if view.next is not None:
        return next_reason(view.next)
    return blocked_reason(view.plan, view.blocked) if view.blocked else ""


def blocked_reason(plan: BisectionPlan, blocked: Blocked) -> str:
    """Why a search cannot go on."""
    if blocked.end is None or blocked.skip is None:
        return f"the ends cannot be compared: {blocked.decided}"
    return f"the end {plan.rungs[blocked.end].release} cannot be measured ({skip_reason(blocked.skip)})"


def skip_reason(skip: Skip) -> str:
    """Why a kernel cannot be tested."""
    match skip.kind:
        case SkipKind.FAULT:
            return f"{skip.outcome} in {skip.failed} of {skip.boots} boots: {skip.text}".rstrip(": ")
        case SkipKind.UNLIKE:
            return f"{skip.failed} boots failed, each in another way"
        case SkipKind.NO_VALUE:
            return f"no boot gave {skip.text}"
        case SkipKind.MARKED:
            return skip.text


def missed_text(missed: float) -> str:
    """What to say of a probability of having missed a stretch, were there one; empty where it is negligible."""
    if missed < _WORTH_A_WORD:
        return ""
    if missed > _LOOKED:
        return "further stretches between the ends were not looked for"
    return f"a further stretch, if there is one, has been missed with probability {missed:.2g}"


def obstacle_reason(obstacle: Obstacle, release: str, said: str) -> str:
    """Why there is no revert test on the kernel `release`; ``said`` is the error where there is one."""
    match obstacle:
        case Obstacle.NO_KERNEL:
            return f"{release} cannot be had"
        case Obstacle.NO_FAR_END:
            return f"{release} is all of the slow stretch: there is no farther end"
        case Obstacle.CHANGES_NOTHING:
            return "it changes nothing in that kernel"
        case Obstacle.DOES_NOT_APPLY | Obstacle.DOES_NOT_BUILD:
            return said


def nothing_found(looked_for: float, missed: float) -> str:
    """How alike everything is: ``looked_for`` is the smallest difference looked for, 0 for the margin."""
    less = f"{100 * looked_for:.2g} %" if looked_for else "the margin"
    return _joined(f"what was booted differs from the ends by less than {less}", missed_text(missed))


def all_proven(edges: Sequence[Edge], missed: float, stopped: str) -> str:
    """What was found holds."""
    proven = f"{'each edge is' if len(edges) > 1 else 'the edge is'} proven by A/B of its neighbours"
    return _joined(proven, missed_text(missed), stopped)


def not_proven(edges: Sequence[Edge]) -> str:
    """What A/B says of those edges that it did not confirm."""
    return _joined(*(f"A/B of the {edge.kind} edge says {edge.verdict}" for edge in edges if not edge.proven))


def none_wished(wish: EdgeWish) -> str:
    """There are edges, of the other kind."""
    return f"there are edges, but none that was {wish}"


def nothing_left(probability: float) -> str:
    """Further boots would not help."""
    return f"nothing left to boot tells more; believed with probability {probability:.3g}"


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def followed_words(choice: MetricChoice) -> str:
    """Why a search follows its metric."""
    match choice.why:
        case FollowedWhy.NAMED:
            return "named by the user"
        case FollowedWhy.ONLY:
            return "the only one that may decide"
        case FollowedWhy.SEPARATES:
            inner = "1 inner boot" if choice.boots == 1 else f"{choice.boots} inner boots"
            where = f"the ends and {inner}" if choice.boots else "the ends"
            others = ", ".join(f"{other} {score:.0f}" for other, score in choice.others.items())
            return f"separates {where} best: kernels up to {choice.separation:.0f} spreads apart ({others})"
        case FollowedWhy.LEADER:
            return "told the ends apart; no metric separates kernels clearly"
        case FollowedWhy.CALMEST:
            return "no metric separates kernels; this one spreads least"
