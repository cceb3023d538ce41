"""The experiments of one host, for programs: boot, compare, search, classify, build, report. Knows no command line.

from harness.lab import Lab, request

with Lab() as lab:
    run, decision = lab.compare(request(baseline="debian:6.12", candidate="debian:7.2"))
"""

from collections.abc import Sequence

from harness.config import Request, request_from_options
from harness.lab.lab import Lab

__all__ = ["Lab", "Request", "request"]


def request(**options: str | Sequence[str] | None) -> Request:
    """What an experiment is to be, in the words of the command line: ``request(baseline="debian:6.12", fs="btrfs")``.

    Keys are those of an experiment file, values texts as there; of ``set`` and ``cmdline``, lists of texts. What is not
    said takes its default. Raises ConfigError, which names the option.
    """
    return request_from_options(options)
