"""Student's t distribution: SciPy's, loaded when it is first used.

It takes a third of a second to import, and a verb that only tells where a search stands needs none of it.
"""


def probability(freedom: float, t: float) -> float:
    """Probability of a value of at most `t` under `freedom` degrees of freedom."""
    from scipy import special

    return float(special.stdtr(freedom, t))


def quantile(freedom: float, probability: float) -> float:
    """The value that is not exceeded with `probability` under `freedom` degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(freedom, probability))
