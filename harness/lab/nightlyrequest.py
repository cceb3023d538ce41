"""What a night is asked for."""

from dataclasses import dataclass

from harness.config.matrix import MatrixFile


@dataclass(frozen=True, slots=True, kw_only=True)
class NightlyRequest:
    """What a night is asked for."""

    file: MatrixFile
    # As harness.config.matrix.select takes them; the series is an axis like any other.
    only: tuple[str, ...] = ()
    shard: str | None = None
    # A command that is run for each alarm that is new, see harness.host.hooks; None: none.
    on_change: str | None = None
    # Search for the change of each alarm that is new.
    bisect: bool = False
    destroy_data: str = ""
    command: tuple[str, ...] = ()
