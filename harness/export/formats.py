"""The formats that results are exported in, by name, and which of them fit which run."""

from enum import StrEnum

from harness.errors import ConfigError
from harness.model.matrix import MATRIX_VERBS


class ExportFormat(StrEnum):
    """Whose tools read it."""

    JUNIT = "junit"
    KTAP = "ktap"
    KCIDB = "kcidb"
    CSV = "csv"
    JSON = "json"
    MAIL = "mail"


class CsvRows(StrEnum):
    """What a row of a table is of."""

    CELLS = "cells"
    BOOTS = "boots"


# Of runs that have no cells: a search is no test that passes or fails, a classification has no two kernels.
_FITTING = {
    "bisect": (ExportFormat.CSV, ExportFormat.JSON, ExportFormat.MAIL),
    "test": (ExportFormat.CSV, ExportFormat.JSON),
}


def has_cells(verb: str) -> bool:
    """Whether a run of this verb is a matrix, or can be told as one."""
    return verb == "ab" or verb in MATRIX_VERBS


def check_fits(kind: ExportFormat, verb: str, run_id: str, rows: CsvRows | None) -> None:
    """Refuse a format that a run cannot be told in. Raises ConfigError, which names those that fit."""
    fitting = tuple(ExportFormat) if has_cells(verb) else _FITTING.get(verb, ())
    if kind not in fitting:
        raise ConfigError(
            f"run {run_id} is a `kab {verb}`, which {kind} has no words for",
            remedy=f"Formats that fit it: {', '.join(fitting)}." if fitting else "No format fits it.",
        )
    if rows is not None and kind is not ExportFormat.CSV:
        raise ConfigError(f"a table of {rows} is asked for, and {kind} is no table", remedy="Only csv is.")
    if rows is CsvRows.CELLS and not has_cells(verb):
        raise ConfigError(
            f"run {run_id} is a `kab {verb}`, which has no cells", remedy="The rows of its table are boots."
        )
