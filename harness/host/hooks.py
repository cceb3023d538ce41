"""Commands of the user's own that are told something: bounded in time and output, and none outlives its call."""

import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from harness.errors import ConfigError, HostError
from harness.host.process import spawn, stop_group
from harness.parse.foreign import printable

# Between being asked to end and being killed.
_GRACE_S = 5.0
# Of what a failing one printed, from its end.
_TOLD_BYTES = 4096
_TOLD_CHARS = 500


def hook_words(command: str) -> tuple[str, ...]:
    """A command as its words, split as a shell does; no shell runs it. Raises ConfigError."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"`{printable(command, limit=200)}` is no command: {error}") from error
    if not words:
        raise ConfigError("the command is empty", remedy="Name a program; for a line of a shell: sh -c '...'.")
    return words


def run_hook(argv: Sequence[str], *, stdin: bytes, env: Mapping[str, str], timeout_s: float) -> None:
    """Run a command to its end, with `stdin` to read, and end whatever it started.

    Raises HostError where it cannot be started, ends with another status than 0, or not in time.
    """
    told = shlex.join(argv)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(stdin)
        given.seek(0)
        process = spawn(
            argv, stdin=given.fileno(), stdout=said.fileno(), stderr=said.fileno(), env=env, new_session=True
        )
        try:
            status: int | None = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            stop_group(process, timeout_s=_GRACE_S)
        if status == 0:
            return
        said.seek(max(said.seek(0, 2) - _TOLD_BYTES, 0))
        tail = printable(" ".join(said.read().decode(errors="replace").split())[-_TOLD_CHARS:])
    ended = f"did not finish in {timeout_s:g} s" if status is None else f"failed with status {status}"
    raise HostError(f"`{told}` {ended}{f': {tail}' if tail else ''}")
