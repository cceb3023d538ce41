"""Runs `kab` in many states of its standard streams, each in a process of its own, forked from one that imported it.

Run as a program: reads a JSON list of cases, ``{"argv": [...], "streams": [STATE, STATE, STATE]}``, from stdin, and
writes the list of what waiting for each told: an exit status, or minus the number of a signal.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# What a stream may be; "null" is /dev/null, "gone" a pipe whose other end is closed.
STATES = ("null", "closed", "full", "gone")


def statuses(cases: Sequence[tuple[Sequence[str], Sequence[str]]], timeout_s: float = 120.0) -> list[int]:
    """The exit status of each case: words of the command, states of stdin, stdout and stderr."""
    asked = json.dumps([{"argv": list(argv), "streams": list(streams)} for argv, streams in cases])
    done = subprocess.run(
        [sys.executable, __file__], input=asked, stdout=subprocess.PIPE, text=True, check=True, timeout=timeout_s,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )  # fmt: skip
    return [int(status) for status in json.loads(done.stdout)]


def _set(descriptor: int, state: str) -> None:
    if state == "closed":
        os.close(descriptor)
        return
    if state == "gone":
        reading, opened = os.pipe()
        os.close(reading)
    else:
        opened = os.open("/dev/full" if state == "full" else "/dev/null", os.O_RDWR)
    os.dup2(opened, descriptor)
    os.close(opened)


def _stream(descriptor: int, mode: str) -> object:
    """What Python makes of a descriptor when it starts."""
    try:
        os.fstat(descriptor)
    except OSError:
        return None
    return open(descriptor, mode, closefd=False)


def _become(argv: list[str], streams: list[str]) -> None:
    for descriptor, state in enumerate(streams):
        _set(descriptor, state)
    sys.stdin = sys.__stdin__ = _stream(0, "r")
    sys.stdout = sys.__stdout__ = _stream(1, "w")
    sys.stderr = sys.__stderr__ = _stream(2, "w")
    sys.argv = ["kab", *argv]


def _serve() -> None:
    # Imported once; what is imported says nothing about the streams.
    import harness.cli.app
    import harness.cli.report
    import harness.lab.bench  # noqa: F401
    from harness.cli import main

    told = []
    for case in json.load(sys.stdin):
        child = os.fork()
        if child == 0:
            _become(case["argv"], case["streams"])
            main()
        _, status = os.waitpid(child, 0)
        told.append(os.waitstatus_to_exitcode(status))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    _serve()
