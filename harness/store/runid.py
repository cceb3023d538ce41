"""Names of runs: short, sortable, readable."""

from datetime import UTC, datetime
from secrets import randbelow

# Crockford's base 32: in ASCII order, and no letter looks like a digit.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 14


def new_run_id(created: datetime) -> str:
    """``20261122-1934-k7f3`` (UTC): sorts by time to the second, and one in 16384 shares it within a second.

    The last four digits are base 32: six bits of seconds, fourteen random ones.
    """
    moment = created.astimezone(UTC)
    number = moment.second << _RANDOM_BITS | randbelow(1 << _RANDOM_BITS)
    suffix = "".join(_DIGITS[number >> shift & 31] for shift in (15, 10, 5, 0))
    return f"{moment:%Y%m%d-%H%M}-{suffix}"
