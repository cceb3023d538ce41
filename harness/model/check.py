"""What `kab doctor` finds on a host: one check, its state, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """How a check ended."""

    OK = "ok"
    # Runs work, and are slower, noisier or less capable than they could be.
    WARN = "warn"
    # Some or all runs cannot work.
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding about the host."""

    # Short name, the first column of the table: "accelerator", "disk space".
    name: str
    status: CheckStatus
    # What was seen, with the figure, and what follows from it.
    detail: str
    # A command or a sentence; empty when there is nothing to do.
    remedy: str = ""
