"""Kernel specs: how a user names a kernel on the command line or in an experiment file."""

import difflib
import unicodedata
from collections.abc import Sequence
from typing import Any

from harness.errors import ConfigError
from harness.kernels.source import KernelSource
from harness.parse.foreign import printable

_SHOWN_CHARS = 200


def read_spec(text: str, sources: Sequence[KernelSource[Any]]) -> tuple[KernelSource[Any], Any]:
    """The source that `text` names, and the spec that it makes of the rest; nothing is looked up.

    Raises ConfigError with the right form where one can tell.
    """
    text = text.strip()
    # A newline, a NUL or an escape sequence is a slip of the pen: no file that anybody means has one in its name.
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ConfigError(
            f"`{printable(text, limit=_SHOWN_CHARS)}` is not a kernel spec: it holds a control character",
            remedy="Write it on one line, without tabs.",
        )
    known = {source.name: source for source in sources}
    if text in known and known[text].alone:
        return known[text], known[text].parse(text, "")
    name, colon, rest = text.partition(":")
    if not colon:
        raise ConfigError(f"`{text}` is not a kernel spec: it lacks its source", remedy=_suggestion(text, sources))
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"Did you mean `{near[0]}:{rest}`?\n" if near else ""
        raise ConfigError(f"`{text}` is not a kernel spec: there is no source `{name}`", remedy=hint + forms(sources))
    source = known[name]
    if source.alone:
        raise ConfigError(f"`{text}` is not a kernel spec: `{name}` takes nothing after it", remedy=f"Write `{name}`.")
    if not rest.strip():
        raise ConfigError(f"`{text}` names no kernel after `{name}:`", remedy=forms(sources))
    try:
        return source, source.parse(text, rest)
    except ConfigError as error:
        if error.remedy:
            raise
        raise ConfigError(error.message, remedy=forms(sources)) from error


def forms(sources: Sequence[KernelSource[Any]]) -> str:
    """All the ways to name a kernel, in lines for people."""
    return "\n".join(("A kernel is named in one of these ways:", *(source.forms.rstrip() for source in sources)))


def _suggestion(text: str, sources: Sequence[KernelSource[Any]]) -> str:
    guesses = (source.suggest(text) for source in reversed(sources) if text)
    return next((guess for guess in guesses if guess is not None), forms(sources))
