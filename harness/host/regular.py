"""Only what ends is read: a FIFO or a device that a user names by mistake would hang kab, or fill its memory."""

import os
import stat
from pathlib import Path

from harness.errors import ConfigError
from harness.parse.foreign import printable

_MIB = 1024 * 1024
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
)


def regular(path: Path, *, limit_bytes: int) -> os.stat_result:
    """What stat(2) says of the file `path`. Raises ConfigError where it is none, too large, or cannot be looked at."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot read {printable(str(path))}: {reason}", remedy="Check the path and its permissions."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "something else")
        raise ConfigError(f"{printable(str(path))} is {kind}, not a file", remedy="Name a regular file.")
    if status.st_size > limit_bytes:
        there, most = (f"{size / _MIB:.0f} MiB" for size in (status.st_size, limit_bytes))
        raise ConfigError(
            f"{printable(str(path))} has {there}, more than the {most} that kab takes for such a file",
            remedy="Is it the right file?",
        )
    return status
