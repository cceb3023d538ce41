"""Names in other tools' formats, made of names of matrices, cells, metrics and runs. All of them are made here.

A name depends on nothing but the text that it is made of, so that it stays the same when cells are added. What a form
cannot hold is replaced, and then a hash of the whole text is appended, as it is to what looks like such a name: two
texts have the same name only where their hashes are the same, too.
"""

import re
from enum import Enum
from hashlib import sha256

from harness.parse.foreign import printable

# What divides a cell's name into the labels of its axes.
_DIVIDER = "/"
_HASH_DIGITS = 8
_HASHED = re.compile(rf"-[0-9a-f]{{{_HASH_DIGITS}}}$")
# File systems take 255 bytes, and what is behind the name needs some.
_LONGEST_FILE = 120
# A line of a log or a mail that is longer is not read.
_LONGEST_LINE = 200
_OF_PATHS = "a-zA-Z0-9_-"
# Some file systems do not tell capital letters from small ones.
_OF_FILES = "a-z0-9_-"


class NameForm(Enum):
    """Where a name is for: what it may consist of."""

    # Dot-separated components of [a-zA-Z0-9_-], one for each label: KCIDB's paths, JUnit's classes.
    PATH = "path"
    # One file's name without its suffix: as a path, in lower case, no longer than file systems take.
    FILE = "file"
    # One line of printable text without "#" that does not begin as a list does: KTAP's descriptions, JUnit's names.
    LINE = "line"


def name_of(form: NameForm, *parts: str) -> str:
    """The name made of `parts`: ``name_of(NameForm.PATH, "gate", "shared-dio/btrfs", "write_iops")``.

    Each part may have labels, divided by "/". Never empty.
    """
    whole = _DIVIDER.join(parts)
    match form:
        case NameForm.PATH:
            return ".".join(_component(label, _OF_PATHS) for label in whole.split(_DIVIDER))
        case NameForm.FILE:
            name = ".".join(_component(label, _OF_FILES) for label in whole.split(_DIVIDER))
            return name if len(name) <= _LONGEST_FILE else _cut(name, _LONGEST_FILE, of=whole)
        case NameForm.LINE:
            return _line(whole)


def _component(label: str, allowed: str) -> str:
    folded = label.lower() if allowed is _OF_FILES else label
    return _marked(re.sub(f"[^{allowed}]+", "-", folded).strip("-"), of=label)


def _line(whole: str) -> str:
    kept = " ".join(printable(whole).replace("#", " ").split()).lstrip("-+* ")
    if len(kept) > _LONGEST_LINE:
        return _cut(kept, _LONGEST_LINE, of=whole)
    return _marked(kept, of=whole)


def _marked(kept: str, *, of: str) -> str:
    """What was kept of a text, with a hash where that is not all, or looks as if it had one."""
    if kept == of and kept and not _HASHED.search(kept):
        return kept
    return f"{kept or 'unnamed'}-{_hash(of)}"


def _cut(name: str, length: int, *, of: str) -> str:
    return f"{name[: length - _HASH_DIGITS - 1].rstrip('-. ')}-{_hash(of)}"


def _hash(text: str) -> str:
    # Names of files may hold what is no character.
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH_DIGITS]
