"""What a stream of a guest has said, in memory and in a file for whoever looks on; both bounded."""

import logging
from pathlib import Path

from harness.parse.headtail import HeadTail

_log = logging.getLogger(__name__)

# A boot's console and the commands of a trial have some hundred KiB.
_HALF_BYTES = 1024 * 1024


class Transcript:
    """A stream's beginning and end. Not locked: its owner feeds and reads it."""

    def __init__(self, copy: Path, *, half_bytes: int = _HALF_BYTES) -> None:
        """Keep `half_bytes` of the beginning and of the end; `copy` holds as much, at times twice that."""
        self._kept = HeadTail(half_bytes, half_bytes)
        self._copy = copy
        self._copy_limit = 4 * half_bytes
        self._copied = 0

    def feed(self, data: bytes) -> None:
        """Append `data`. A full disk must not end a boot: then the copy ends early."""
        self._kept.feed(data)
        self._copied += len(data)
        try:
            if self._copied > self._copy_limit:
                content = self._kept.content()
                self._copy.write_bytes(content)
                self._copied = len(content)
            else:
                with self._copy.open("ab") as stream:
                    stream.write(data)
        except OSError as error:
            _log.debug("cannot write %s: %s", self._copy, error)

    def content(self) -> bytes:
        """What is kept."""
        return self._kept.content()

    def text(self) -> str:
        """What is kept, as text."""
        return self._kept.text()
