"""How fields of the model are stored, where that is not as the code has them: keys of a dataclass field's metadata."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

STORED_AS = "stored_as"
"""The field's name in stored JSON, kept when the field got a better one."""

LATER = "later"
"""True: the field came when runs were stored already. At its default it changes no identity and no stored text."""


def told_fields(record: Any) -> "Iterator[tuple[Field[Any], Any]]":
    """The fields of a dataclass's object, with their values, but for later ones at their default."""
    for field in fields(record):
        value = getattr(record, field.name)
        if field.metadata.get(LATER):
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            if value == default:
                continue
        yield field, value
