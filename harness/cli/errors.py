"""From exceptions to messages for the person at the keyboard, and to exit statuses safe under ``git bisect run``."""

import logging
import os
import shlex
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import __version__, interruption
from harness.cli.memory import is_out_of_memory
from harness.cli.words import check_words
from harness.errors import ExitCode, KabError
from harness.host.paths import default_paths
from harness.parse.foreign import printable

if TYPE_CHECKING:
    from harness.cli.lab import MakeLab


def run_command(argv: Sequence[str], *, make_lab: "MakeLab | None" = None) -> int:
    """Run ``kab`` with the words `argv` and return its exit status (see ExitCode).

    Verbs work in the laboratory that `make_lab` makes, else in this user's.
    Once a signal has asked for the end (``interruption``), it is INTERRUPTED, whatever else became of the command.
    """
    interruption.install()
    try:
        return _run(argv, make_lab)
    except BaseException:
        # After a hang-up not even the message can be written.
        if interruption.requested():
            return ExitCode.INTERRUPTED
        raise
    finally:
        interruption.settle()


def _run(argv: Sequence[str], make_lab: "MakeLab | None") -> int:
    try:
        check_words(argv, os.environ)
        with interruption.goes_first():
            from harness.cli.app import kab

            result = kab.main(args=list(argv), prog_name="kab", standalone_mode=False, obj=make_lab)
            status = result if isinstance(result, int) else ExitCode.GOOD
            interruption.check()
    except SystemExit as error:
        # click's, where a shell asks for completions in a way that it does not know.
        return ExitCode.USAGE if error.code else ExitCode.GOOD
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
    except Exception as error:  # the last stop: whatever comes here is a bug of ours
        if is_out_of_memory(error):
            _say("out of memory")
            _say("Give it more, or end what else uses it.", prefix="")
            return ExitCode.HOST
        logging.getLogger(__name__).debug("bug", exc_info=True)
        _say(f"a bug in kab: {type(error).__name__}: {error}")
        _say(f"It says nothing about any kernel. Please report it with {_write_trace(argv)}", prefix="")
        return ExitCode.BUG
    return status


def _say(message: str, *, prefix: str = "kab: ") -> None:
    # Names and texts from elsewhere are in it: a commit's title, a package's version, a file's name.
    click.echo(f"{prefix}{printable(message, lines=True)}", err=True)


def _write_trace(argv: Sequence[str]) -> Path | str:
    """Keep the traceback in a file: it is for us, not for the person at the keyboard."""
    text = f"kab {__version__}\nkab {shlex.join(argv)}\n\n{traceback.format_exc()}"
    path = default_paths().state / "bugs" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return f"this:\n{text}"
    return path
