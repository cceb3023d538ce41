"""The revert test of an edge in words: what the far end of the slow stretch does with the culprit undone."""

from harness.model.bisection import BisectionPlan, Obstacle, RevertTest
from harness.model.source import OperationKind
from harness.report.search import rungs


def revert_test_sentence(plan: BisectionPlan, counter: RevertTest, figures: str) -> str:
    """The sentence; ``figures`` are the effect with its interval, empty where there was no A/B."""
    deed = _deed(plan, counter)
    far = rungs.full_name(plan.rungs[counter.far])
    if counter.run is None or counter.verdict is None:
        why = counter.reason or "no reason is known"
        # What was stored before obstacles had kinds has but the words.
        applies = counter.obstacle is not Obstacle.DOES_NOT_APPLY and not (counter.obstacle is None and "apply" in why)
        fails = "cannot be tested on" if applies else "does not apply to"
        return f"The {deed} {fails} {far}: {why}."
    if counter.holds:
        return f"Effect of the {deed} alone on top of {far}: {figures}."
    return (
        f"The {deed} alone on top of {far} does NOT bring the speed back, A/B says {counter.verdict}: "
        f"{figures or counter.reason}."
    )


def _deed(plan: BisectionPlan, counter: RevertTest) -> str:
    revert = counter.kind is OperationKind.REVERT
    if rungs.has_commits(plan):
        return "revert" if revert else "commit"
    return "option's old value" if revert else "option's new value"
