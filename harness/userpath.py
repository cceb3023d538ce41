"""Paths as users write them."""

from pathlib import Path

from harness.errors import ConfigError


def user_path(text: str | Path) -> Path:
    """`text` with ``~`` and ``~name`` for home folders; relative where it is. Raises ConfigError."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"cannot look at {text}: there is no such user, or no home folder", remedy="Write the whole path."
        ) from error
