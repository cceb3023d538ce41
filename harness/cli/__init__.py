"""The command ``kab``: verbs, progress, exit codes; the only place that prints."""


def main() -> None:
    """Entry point."""
