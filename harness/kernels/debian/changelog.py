"""The package changelog that a cached kernel was kept with, and what it tells of the step to another."""

import gzip
import zlib

from harness.errors import HostError
from harness.history.changelog import changes_between
from harness.kernels.source import unknown_changes
from harness.model.history import Step
from harness.model.kernel import Kernel

# That of Debian's 6.12.118 has 4 million.
_LIMIT_CHARS = 64 * 1024 * 1024


def read_changelog(kernel: Kernel) -> str | None:
    """Its text; None where the kernel came without one, as Debian's 6.18.15 does. Raises HostError."""
    if kernel.changelog is None:
        return None
    try:
        with gzip.open(kernel.changelog, "rt", encoding="utf-8", errors="replace") as file:
            # One that a package brings may unpack to anything; the newest entries come first.
            return file.read(_LIMIT_CHARS)
    except (OSError, EOFError, zlib.error) as error:
        raise HostError(
            f"cannot read the changelog of {kernel.release}: {error}",
            remedy="Remove that kernel's folder; it is fetched again.",
        ) from error


def changes_of(older: Kernel, newer: Kernel) -> Step:
    """What the changelogs of two kernels say came between them. Raises HostError."""
    text = read_changelog(newer)
    if text is None:
        return unknown_changes(older, newer)
    return changes_between(text, older.version, newer.version, older_changelog=read_changelog(older) or "")
