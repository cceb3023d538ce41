"""The command ``kab``: verbs, progress, exit codes; the only place that prints."""

import sys


def main() -> None:
    """Entry point of the command."""
    from harness import interruption

    # First of all, and the rest is imported here: a signal during start-up is one like any other.
    interruption.install()
    from harness.cli.memory import is_out_of_memory
    from harness.cli.output import guard_streams, settle
    from harness.errors import ExitCode

    guard_streams()
    try:
        from harness.cli.errors import run_command

        status = run_command(sys.argv[1:])
    except BaseException as error:  # noqa: BLE001 - what tells of errors could not be loaded itself
        if interruption.requested():
            # A library that is interrupted while it is imported may say so in any way.
            status = ExitCode.INTERRUPTED
        else:
            status = ExitCode.HOST if is_out_of_memory(error) else ExitCode.BUG
            print(f"kab: cannot start: {type(error).__name__}: {error}", file=sys.stderr)
    interruption.settle()
    sys.exit(settle(status))
