"""The package changelog that a cached kernel was kept with."""

import gzip
import zlib

from harness.errors import HostError
from harness.model.kernel import Kernel


def read_changelog(kernel: Kernel) -> str | None:
    """Its text; None where the kernel came without one, as Debian's 6.18.15 does. Raises HostError."""
    if kernel.changelog is None:
        return None
    try:
        with gzip.open(kernel.changelog, "rt", encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise HostError(
            f"cannot read the changelog of {kernel.release}: {error}",
            remedy="Remove that kernel's folder; it is fetched again.",
        ) from error
