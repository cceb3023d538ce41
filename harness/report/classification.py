"""What one kernel is like, against a stored run's two sides, in sentences."""

from collections.abc import Sequence

from harness.stats.faults import Fault


def fault_words(fault: Fault) -> str:
    """A kernel that fails is like neither side."""
    return f"the kernel failed: {fault.outcome} in {fault.failed} of {fault.boots} boots ({fault.message})"


def unlike_words(boots: int) -> str:
    """Nor is one whose boots fail, each in another way."""
    return f"{boots} boots failed, each in another way"


def lacking_words(metric: str) -> str:
    """Nor one that has no value to compare."""
    return f"a boot gave no {metric}"


def likeness_words(
    metric: str, medians: Sequence[float], *, fast: Sequence[float], slow: Sequence[float], is_slow: bool | None,
    odds: float,
) -> str:  # fmt: skip
    """Per-boot medians beside those of both sides, in the metric's unit, and which they are like at what odds."""
    sides = ", ".join(
        f"{name} {min(values):.4g} to {max(values):.4g}" for name, values in (("fast", fast), ("slow", slow))
    )
    told = f"{metric} {', '.join(f'{value:.4g}' for value in medians)}; {sides}"
    if is_slow is None:
        return f"{told}: like neither clearly enough"
    return f"{told}: like the {'slow' if is_slow else 'fast'} side, {odds:.3g} to 1"
