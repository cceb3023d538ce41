"""The laboratory that a verb works in: this user's, or the one that the command was given by a program."""

from collections.abc import Callable

import click

from harness.interfaces import Progress
from harness.lab.lab import Lab

# (display) -> a laboratory.
MakeLab = Callable[[Progress | None], Lab]


def open_lab(progress: Progress | None = None) -> Lab:
    """A laboratory that tells `progress` what happens; use it as a context manager. Raises ConfigError."""
    context = click.get_current_context(silent=True)
    make: MakeLab | None = context.find_object(object) if context else None  # type: ignore[assignment]
    return make(progress) if make else Lab(progress=progress)
