"""The experiments of one host, for programs: boot, compare, search, classify, build, report. Knows no command line.

from harness.lab import Lab, request

with Lab() as lab:
    run, decision = lab.compare(request(baseline="debian:6.12", candidate="debian:7.2"))
"""

from collections.abc import Mapping, Sequence

from harness.config import Request, request_from_options
from harness.lab.lab import Lab

__all__ = ["Lab", "Request", "request"]


def request(**options: str | Sequence[str] | Mapping[str, str] | None) -> Request:
    """What an experiment is to be, in the words of the command line: ``request(baseline="debian:6.12", fs="btrfs")``.

    Keys are those of an experiment file, values texts as the command line takes them; of ``cmdline`` and ``set`` lists
    of texts, too, and of ``set`` a mapping. What is not said takes its default. Raises ConfigError, which names the
    option.
    """
    return request_from_options({key: _texts(value) for key, value in options.items()})


def _texts(value: str | Sequence[str] | Mapping[str, str] | None) -> str | Sequence[str] | None:
    return [f"{name}={text}" for name, text in value.items()] if isinstance(value, Mapping) else value
