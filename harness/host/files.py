"""Writing files so that a reader sees all of one or none of it."""

import os
import secrets
from pathlib import Path

from harness.errors import HostError

# Characters of four bytes each, and what is put around them, are a name that every filesystem takes.
_MOST_OF_NAME = 48


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file in the same folder, made durable first. Raises HostError."""
    # Not ".tmp" alone: two threads may write the same file. Not the name in full: it may be as long as names can be.
    temporary = path.with_name(f".{path.name[:_MOST_OF_NAME]}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise HostError(
            f"cannot write {path}: {error.strerror}", remedy="Free some space, or mend the folder's permissions."
        ) from error
