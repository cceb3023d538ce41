"""The command ``kab``: verbs, progress, exit codes; the only place that prints."""

import sys


def main() -> None:
    """Entry point of the command."""
    from harness import interruption
    from harness.errors import ExitCode

    # First of all, and the rest is imported here: a signal during start-up is one like any other.
    interruption.install()
    try:
        from harness.cli.errors import run_command
    except BaseException:
        # A library that is interrupted while it is imported may say so in any way.
        if not interruption.requested():
            raise
        interruption.settle()
        sys.exit(ExitCode.INTERRUPTED)
    sys.exit(run_command(sys.argv[1:]))
