"""Writing files so that a reader sees all of one or none of it."""

import os
import secrets
from pathlib import Path

from harness.errors import HostError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file in the same folder, made durable first. Raises HostError."""
    # Not ".tmp" alone: two threads may write the same file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
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
