"""Settings of a user or a host: what is not part of an experiment. Environment over file over default."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.config.document import Scalar, Value, read_table, scalar
from harness.errors import ConfigError
from harness.parse.units import parse_size
from harness.userpath import user_path

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `settings.yaml` and the variables KAB_* can say."""

    # Kernels and images beyond this are removed, the longest unused first.
    cache_limit_bytes: int = 20 * GIB
    # URI of the folder that holds dists/ and pool/; None: the one that the host's APT sources name.
    debian_mirror: str | None = None
    # The same for the security archive; None: from the host's APT sources, or beside debian_mirror.
    debian_security_mirror: str | None = None
    # libvirt URI; None: the embedded driver.
    connect: str | None = None
    # SQLAlchemy URL of the results; None: SQLite in the state folder.
    database: str | None = None
    # A git clone of Linux, which lists suspects where `--tree` names no other.
    tree: Path | None = None
    # Who submits to KCIDB: a name agreed upon with KernelCI's people.
    kcidb_origin: str = "kab"


def load_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """The settings of a file that need not exist, and of ``KAB_CACHE_LIMIT`` and so on over it.

    Raises ConfigError with FILE:LINE, or with the variable's name.
    """
    values: dict[str, Value] = {}
    if _says_something(path):
        document = read_table(path)
        document.check_keys("settings", SETTING_KEYS)
        values.update(document.entries)
    for key in SETTING_KEYS:
        variable = variable_of(key)
        if environment.get(variable):
            values[key] = Scalar(text=environment[variable], where=variable)
    found: dict[str, Any] = {}
    for key, value in values.items():
        attribute, parser = _READERS[key]
        found[attribute] = scalar(value, key).parse(parser)
    return Settings(**found)


def _says_something(path: Path) -> bool:
    """Whether there is a file to read: an empty one (`touch`, /dev/null) says nothing."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the settings {path}: {error}", remedy="Name another with KAB_SETTINGS."
        ) from error


def variable_of(key: str) -> str:
    """The environment variable that sets a key."""
    return f"KAB_{key.upper()}"


def _uri(text: str) -> str:
    if not urlsplit(text).scheme:
        raise ConfigError(f"{text!r} is not a URI", remedy="It begins with its scheme, such as http:// or qemu:///.")
    return text


def _mirror(text: str) -> str:
    return _uri(text).rstrip("/")


def _folder(text: str) -> Path:
    path = user_path(text)
    if not path.is_absolute():
        raise ConfigError(f"{text!r} is no absolute path", remedy="Write /home/me/linux or ~/linux.")
    return path


def check_origin(text: str) -> str:
    """`text`, if it can name who submits to KCIDB. Raises ConfigError."""
    if not re.fullmatch("[a-z0-9_]+", text):
        raise ConfigError(
            f"{text!r} cannot be an origin in KCIDB",
            remedy="It has small letters, digits and underscores, and is agreed upon with KernelCI's people.",
        )
    return text


# Key of the file -> attribute of Settings, and what reads it.
_READERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "cache_limit": ("cache_limit_bytes", parse_size),
    "debian_mirror": ("debian_mirror", _mirror),
    "debian_security_mirror": ("debian_security_mirror", _mirror),
    "connect": ("connect", _uri),
    "database": ("database", _uri),
    "tree": ("tree", _folder),
    "kcidb_origin": ("kcidb_origin", check_origin),
}
SETTING_KEYS = tuple(_READERS)
