"""Text files that a user names: regular ones, of a size that somebody may have written, in UTF-8."""

import os
import stat
from pathlib import Path

from harness.errors import ConfigError

MIB = 1024**2
# Nobody writes so much by hand.
MOST_BYTES = 4 * MIB


def read_text_file(path: Path, *, most_bytes: int = MOST_BYTES) -> str:
    """The text of a file of at most `most_bytes`. Raises ConfigError that names the file and what is wrong with it.

    A pipe would be waited for, and a device such as /dev/zero has no end: neither is read.
    """
    try:
        # Non-blocking, as opening a pipe waits for its writer; a regular file does not care.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise ConfigError(f"{path} is a folder, not a file")
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path} is not a regular file", remedy="Save it as one, and name that.")
            content = file.read(most_bytes + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"no such file: {path}") from error
    # ValueError: a NUL in the name.
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if len(content) > most_bytes:
        raise ConfigError(f"{path} is larger than {most_bytes // MIB} MiB: it cannot be what is wanted here")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
