"""Waivers: a list in a file of the user's repository, each with somebody who owns it and an end."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path

from harness.config.document import Items, Scalar, Table, read_document, scalar, table
from harness.errors import ConfigError
from harness.model.matrix import Waiver
from harness.parse.foreign import printable
from harness.parse.suggest import nearest
from harness.parse.units import parse_fraction
from harness.stats.waivers import EVERYTHING, idle, is_over

WAIVER_KEYS = ("cells", "metrics", "bound", "owner", "reason", "until")
_REQUIRED = ("cells", "owner", "reason", "until")
# Of a reason; more belongs into the report that it names.
_LONGEST_TEXT = 1000
# Cells that a slip of the pen is looked for in: comparing texts takes its time.
_MOST_GUESSED = 2000

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_VERSION = re.compile(r"v?(\d{1,4}\.\d{1,4}(?:\.\d{1,4})?(?:-rc\d{1,3})?)", re.ASCII)


def load_waivers(path: Path) -> tuple[Waiver, ...]:
    """The waivers in a file, in its order; none in one that is empty. Raises ConfigError with FILE:LINE."""
    document = read_document(path)
    if document is None:
        return ()
    if not isinstance(document, Items):
        raise ConfigError(
            f"{document.where}: a file of waivers is a list",
            remedy="Such as: - {cells: '*/btrfs/*', owner: a@example.org, reason: ..., until: 2027-01-31}",
        )
    return tuple(_waiver(table(item, "each waiver")) for item in document.items)


def _waiver(keys: Table) -> Waiver:
    keys.check_keys("waiver", WAIVER_KEYS, required=_REQUIRED)
    texts = {key: _text(scalar(value, key), key) for key, value in keys.entries.items()}
    until, until_version = _until(scalar(keys.entries["until"], "until"))
    return Waiver(
        cells=texts["cells"],
        metrics=texts.get("metrics", EVERYTHING),
        bound=scalar(keys.entries["bound"], "bound").parse(parse_fraction) if "bound" in keys.entries else None,
        owner=texts["owner"],
        reason=texts["reason"],
        until=until,
        until_version=until_version,
        where=keys.where,
    )


def _text(value: Scalar, key: str) -> str:
    text = value.text.strip()
    if not text:
        raise ConfigError(f"{value.where}: {key} is empty")
    if printable(text) != text:
        raise ConfigError(f"{value.where}: {key} holds a line feed or another control character")
    if len(text) > _LONGEST_TEXT:
        raise ConfigError(f"{value.where}: {key} is longer than {_LONGEST_TEXT} characters")
    return text


def _until(value: Scalar) -> tuple[date | None, str | None]:
    """A day, or a kernel version."""
    text = value.text.strip()
    if _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text), None
        except ValueError as error:
            raise ConfigError(f"{value.where}: there is no day {text}") from error
    if found := _VERSION.fullmatch(text):
        return None, found[1]
    raise ConfigError(
        f"{value.where}: until {printable(text, limit=80)!r} is neither a day nor a kernel version",
        remedy="Write 2027-01-31, the last day that it holds, or v7.4, the first kernel that it does not hold for.",
    )


def check_waivers(waivers: Sequence[Waiver], counted: Mapping[str, Collection[str]]) -> None:
    """Raise ConfigError, with FILE:LINE, for the first waiver that fits nothing of a matrix.

    `counted`: cell -> the metrics that count there. Cells that are left out this time (`--only`) belong in it.
    """
    for waiver in idle(waivers, counted):
        metrics = {name for names in counted.values() for name in names}
        guess = nearest(waiver.cells, list(counted)[:_MOST_GUESSED]) or nearest(waiver.metrics, metrics)
        raise ConfigError(
            f"{waiver.where}: this waiver fits nothing: no cell {waiver.cells} has a metric {waiver.metrics} that "
            "counts",
            remedy=(f"Did you mean {guess}? " if guess else "") + "Mend it, or remove it: what it was for is gone.",
        )


def check_expiry(waivers: Sequence[Waiver], *, today: date, candidates: Mapping[str, str] | None = None) -> None:
    """Raise ConfigError, with FILE:LINE, for the first waiver that has expired. To be called before the first boot.

    `candidates`: spec of each candidate -> its version, once that is known; waivers until a version need it.
    """
    for waiver in waivers:
        for spec, version in {"": "", **(candidates or {})}.items():
            try:
                over = is_over(waiver, today=today, versions=[version] if spec else [])
            except ValueError as error:
                raise ConfigError(
                    f"{waiver.where}: until {waiver.until_version}: whether {spec} is before that cannot be told from "
                    f"its version {printable(version, limit=80)!r}",
                    remedy="Give the waiver a day.",
                ) from error
            if over:
                raise ConfigError(
                    f"{waiver.where}: this waiver of {waiver.owner} has expired: "
                    + (
                        f"{spec} is {version}, and it holds before {waiver.until_version}"
                        if spec
                        else f"it held until {waiver.until}"
                    ),
                    remedy=f"Mend what it is for, or ask {waiver.owner} for a new end.",
                )
