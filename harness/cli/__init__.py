"""The command ``kab``: verbs, progress, exit codes; the only place that prints."""

import sys


def main() -> None:
    """Entry point of the command."""
    from harness import interruption
    from harness.errors import ExitCode

    # First of all, and the rest is imported below: a signal during start-up is one like any other.
    interruption.install()
    status: int
    try:
        from harness.cli.output import guard_streams

        guard_streams()
        from harness.cli.errors import run_command

        status = run_command(sys.argv[1:])
    except BaseException as error:  # noqa: BLE001 - what tells of errors could not be loaded itself
        if interruption.requested():
            # A library that is interrupted while it is imported may say so in any way.
            status = ExitCode.INTERRUPTED
        else:
            from harness.cli.memory import is_out_of_memory

            status = ExitCode.HOST if is_out_of_memory(error) else ExitCode.BUG
            print(f"kab: cannot start: {type(error).__name__}: {error}", file=sys.stderr)
    interruption.settle()
    from harness.cli.output import settle

    sys.exit(settle(status))
