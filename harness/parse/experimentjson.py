"""An experiment as canonical JSON and back; versioned, so that an old store and a new kab understand each other."""

import json
from typing import Any

from harness.errors import ConfigError
from harness.model.experiment import Experiment
from harness.parse.plainjson import canonical, from_plain, to_plain

# Raised when a field changes its meaning. A new field with a default needs no new version.
VERSION = 1


def experiment_to_json(experiment: Experiment) -> str:
    """Canonical JSON (sorted keys, ASCII, no spaces): equal experiments give equal text."""
    return canonical({"version": VERSION, "experiment": to_plain(experiment)})


def experiment_from_json(text: str) -> Experiment:
    """The inverse of `experiment_to_json`. Raises ConfigError for malformed text or another version."""
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"malformed experiment: {error}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if version != VERSION:
        raise ConfigError(
            f"experiment has version {version}, this kab knows version {VERSION}",
            remedy="It was written by another version of kab: use that one.",
        )
    return from_plain(Experiment, document.get("experiment"))
