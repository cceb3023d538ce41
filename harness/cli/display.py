"""Which display a run gets: a live one, lines for logs, JSON lines for programs, or none."""

import sys
from enum import StrEnum
from typing import IO

from harness.cli.progress import JsonProgress, LineProgress
from harness.interfaces import NullProgress


class ProgressMode(StrEnum):
    """How progress is shown; always on stderr, so that stdout holds the result alone."""

    AUTO = "auto"
    LIVE = "live"
    LINES = "lines"
    JSON = "json"
    NONE = "none"


def make_progress(mode: ProgressMode, stream: IO[str] | None = None) -> NullProgress:
    """The progress for `mode`; AUTO is LIVE on a terminal and LINES elsewhere."""
    out = stream or sys.stderr
    if mode is ProgressMode.AUTO:
        mode = ProgressMode.LIVE if out.isatty() else ProgressMode.LINES
    match mode:
        case ProgressMode.LIVE:
            # Not before it is wanted: rich's display takes a while to import.
            from harness.cli.live import LiveProgress

            return LiveProgress(out)
        case ProgressMode.JSON:
            return JsonProgress(out)
        case ProgressMode.NONE:
            return NullProgress()
        case _:
            return LineProgress(out)
