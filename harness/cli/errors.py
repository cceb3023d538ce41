"""From exceptions to messages for the person at the keyboard, and to exit statuses safe under ``git bisect run``."""

import logging
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from harness import __version__, interruption
from harness.errors import ExitCode, KabError
from harness.host.paths import default_paths


def run_command(argv: Sequence[str]) -> int:
    """Run ``kab`` with the words `argv` and return its exit status (see ExitCode).

    Once a signal has asked for the end (``interruption``), it is INTERRUPTED, whatever else became of the command.
    """
    interruption.install()
    try:
        return _run(argv)
    except BaseException:
        # After a hang-up not even the message can be written.
        if interruption.requested():
            return ExitCode.INTERRUPTED
        raise
    finally:
        interruption.settle()


def _run(argv: Sequence[str]) -> int:
    try:
        with interruption.goes_first():
            from harness.cli.app import kab

            result = kab.main(args=list(argv), prog_name="kab", standalone_mode=False)
            status = result if isinstance(result, int) else ExitCode.GOOD
            sys.stdout.flush()
            interruption.check()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        _say(error.format_message())
        if error.ctx is not None:
            _say(f"See `{error.ctx.command_path} --help`.", prefix="")
        return ExitCode.USAGE
    except click.ClickException as error:
        _say(error.format_message())
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted; what was measured is stored, and the same command continues from there", prefix="kab: ")
        return ExitCode.INTERRUPTED
    except KabError as error:
        _say(error.message)
        if error.remedy:
            _say(error.remedy, prefix="")
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`kab runs | head`): not an error, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.GOOD
    except Exception as error:  # the last stop: whatever comes here is a bug of ours
        logging.getLogger(__name__).debug("bug", exc_info=True)
        _say(f"a bug in kab: {type(error).__name__}: {error}")
        _say(f"It says nothing about any kernel. Please report it with {_write_trace(argv)}", prefix="")
        return ExitCode.BUG
    return status


def _say(message: str, *, prefix: str = "kab: ") -> None:
    click.echo(f"{prefix}{message}", err=True)


def _write_trace(argv: Sequence[str]) -> Path | str:
    """Keep the traceback in a file: it is for us, not for the person at the keyboard."""
    text = f"kab {__version__}\nkab {shlex.join(argv)}\n\n{traceback.format_exc()}"
    path = default_paths().state / "bugs" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError:
        return f"this:\n{text}"
    return path
