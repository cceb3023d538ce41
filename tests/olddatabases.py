"""Databases of earlier schema versions, and what the code of their time read in them (tests/data/store/make*.py)."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import zstandard

from harness.model.experiment import BlockPlace
from harness.model.run import Run
from harness.model.verdict import Decision
from harness.parse.experimentjson import experiment_to_json
from harness.parse.plainjson import from_plain, to_plain
from harness.store import SqlStore

DATA = Path(__file__).parent / "data" / "store"
VERSIONS = (1, 2, 3)


def _unpacked(name: str) -> bytes:
    return zstandard.ZstdDecompressor().decompress((DATA / name).read_bytes(), max_output_size=100_000_000)


def put_old(version: int, path: Path) -> Path:
    """The database of that version, at `path`."""
    path.write_bytes(_unpacked(f"version-{version}.sqlite.zst"))
    return path


def read_then(version: int) -> dict[str, Any]:
    """What the code of that time read; decisions as today's, with new fields as where nothing is stored of them."""
    found: dict[str, Any] = json.loads(_unpacked(f"version-{version}.json.zst"))
    for run in found["runs"].values():
        run["decision"] = None if run["decision"] is None else from_plain(Decision, run["decision"])
    return found


def dumped(path: Path) -> list[str]:
    """All of a SQLite database as SQL."""
    with closing(sqlite3.connect(path)) as raw:
        return list(raw.iterdump())


def written(place: BlockPlace) -> list[int | str]:
    """A boot's place in the words of make.py."""
    return [place.block, place.order, place.attempt, str(place.arm)]


def told(store: SqlStore, run: Run) -> dict[str, Any]:
    """A run in the words of make.py."""
    return {
        **{
            name: to_plain(getattr(run, name))
            for name in (
                "verb", "digest", "baseline", "candidate", "conditions", "host", "command", "kab_version", "state",
            )
        },
        "seed": str(run.seed),
        "experiment": experiment_to_json(run.experiment),
        "created": run.created.isoformat(),
        "finished": run.finished and run.finished.isoformat(),
        "trials": [
            {
                "place": written(trial.place.written),
                "seed": str(trial.spec.seed),
                **{
                    name: to_plain(getattr(trial, name))
                    for name in (
                        "kernel_digest", "outcome", "message", "samples", "stage_s", "findings", "environment",
                        "duration_s",
                    )
                },
                "started": trial.started and trial.started.isoformat(),
                "artifacts": {
                    name: hashlib.sha256(content).hexdigest()
                    for name, content in store.artifacts(run.id, trial.spec).items()
                },
            }
            for trial in run.trials
        ],
        "decision": store.decision(run.id),
    }  # fmt: skip
