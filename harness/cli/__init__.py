"""The command ``kab``: verbs, progress, exit codes; the only place that prints."""

import sys


def main() -> None:
    """Entry point of the command."""
    # Imported here so that `import harness.cli` costs nothing and Ctrl-C during start-up is handled too.
    from harness.cli.errors import run_command

    sys.exit(run_command(sys.argv[1:]))
