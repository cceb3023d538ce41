"""The error for a name that is not known: which one it was, the nearest known one, and all of them."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from harness.errors import ConfigError


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely was meant to be, or None."""
    # "Max-Boots" and "max_boots" are the same word to whoever types it.
    plain = {_plain(word): word for word in known}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def unknown(what: str, name: str, known: Iterable[str], *, where: str = "") -> ConfigError:
    """An error to raise for the unknown `name` of a `what` ("disk key"); `where` is a place such as "FILE:LINE"."""
    words = list(known)
    guess = nearest(name, words)
    hint = f"Did you mean {guess}? " if guess else ""
    prefix = f"{where}: " if where else ""
    return ConfigError(f"{prefix}unknown {what} {name!r}", remedy=f"{hint}Known: {', '.join(words) or 'none'}.")


def enumerated(names: Sequence[str]) -> str:
    """Names in a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
