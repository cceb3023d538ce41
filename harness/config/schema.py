"""JSON Schemas of kab's files, for editors: made of the tables of keys and of what they mean.

A schema knows shapes, units and words. What hangs together (a workload that needs a larger disk, a rule that matches
nothing) only kab itself tells: `kab plan FILE`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.config.experiment import ACCELERATORS, EXPERIMENT_KEYS, MATRIX_KEYS
from harness.config.matrix.gate import GATE_KEYS
from harness.config.matrix.layers import ADJUST_KEYS, CELL_KEYS, NIGHTLY_KEYS
from harness.config.meanings import (
    ADJUST_MEANINGS,
    DISK_MEANINGS,
    EXPERIMENT_MEANINGS,
    FILESYSTEM_MEANINGS,
    GATE_MEANINGS,
    MATRIX_MEANINGS,
    NIGHTLY_MEANINGS,
    WAIVER_MEANINGS,
    Meaning,
)
from harness.config.waivers import WAIVER_KEYS
from harness.model.guest import DiskBackend, DiskBus
from harness.model.matrix import FailKind
from harness.parse.diskspec import DISK_KEYS, FILESYSTEM_KEYS, FILESYSTEMS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = Mapping[str, Any]

_LINK = re.compile(r"\[([^]]+)\]\([^)]*\)")

# Forms of values. kab takes each scalar as the text that is written, and an editor's YAML makes numbers of some: 6.12
# is a kernel's series all the same.
_TEXT: Schema = {"type": ["string", "number", "boolean"], "minLength": 1}
_WORD: Schema = {"type": "string", "pattern": r"\S"}
_NUMBER = r"\d{1,18}(\.\d{1,40})?\s*"
_SIZE: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": rf"^\s*{_NUMBER}([bB]|[kKmMgGtT]([iI][bB])?)?\s*$"},
    ]
}
_DURATION: Schema = {"anyOf": [{"const": 0}, {"type": "string", "pattern": rf"^\s*{_NUMBER}(ns|us|µs|ms|s|min|h)\s*$"}]}
_FRACTION: Schema = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "string", "pattern": r"^\s*(?=[^%]*[1-9])(0?\d{1,2}(\.\d{1,40})?\s*%|0\.\d{1,40})\s*$"},
    ]
}
_WORDS: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_PATTERNS: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
}


def _count(minimum: int, maximum: int | None = None) -> Schema:
    whole: dict[str, Any] = {"type": "integer", "minimum": minimum}
    return {
        "anyOf": [whole | ({} if maximum is None else {"maximum": maximum}), {"type": "string", "pattern": r"^\d+$"}]
    }


def _one_of(*words: str) -> Schema:
    return {"enum": list(words)}


def _keys(
    order: Sequence[str], meanings: Mapping[str, Meaning], forms: Mapping[str, Schema], *, needed: bool = True
) -> dict[str, Any]:
    """A mapping of these keys. Raises KeyError for one without a meaning or a form."""
    found: dict[str, Any] = {
        "type": "object",
        "properties": {key: {**forms[key], "description": _described(meanings[key])} for key in order},
        "additionalProperties": False,
    }
    required = [key for key in order if meanings[key].needed]
    return found | ({"required": required} if needed and required else {})


def _described(meaning: Meaning) -> str:
    otherwise = f"`{meaning.default}`" if meaning.default else meaning.otherwise
    # Links lead nowhere in an editor.
    says = _LINK.sub(r"\1", meaning.says)
    return says + (f". Default: {otherwise}." if otherwise else ".")


_DISK_FORMS: Mapping[str, Schema] = {
    "bus": _one_of(*(str(bus) for bus in DiskBus)),
    "backend": _one_of(*(str(backend) for backend in DiskBackend if backend is not DiskBackend.NONE)),
    "size": _SIZE,
    "latency": _DURATION,
    "device": _WORD,
}
_FILESYSTEM_FORMS: Mapping[str, Schema] = {"type": _one_of(*FILESYSTEMS), "mount": _WORDS, "mkfs": _WORDS}


def _spec(
    first: Sequence[str], order: Sequence[str], meanings: Mapping[str, Meaning], forms: Mapping[str, Schema]
) -> Schema:
    """A text that begins with one of `first`, or a mapping."""
    text = {"type": "string", "pattern": f"^\\s*({'|'.join(first)})\\s*(,|$)"}
    return {"anyOf": [text, _keys(order, meanings, forms)]}


_CELL_FORMS: Mapping[str, Schema] = MappingProxyType(
    {
        "baseline": _TEXT,
        "candidate": _TEXT,
        "workload": _WORD,
        "set": {"type": "object", "additionalProperties": _TEXT},
        "disk": _spec([str(bus) for bus in DiskBus], ("bus", *DISK_KEYS), DISK_MEANINGS, _DISK_FORMS),
        "fs": _spec(FILESYSTEMS, ("type", *FILESYSTEM_KEYS), FILESYSTEM_MEANINGS, _FILESYSTEM_FORMS),
        "vcpus": _count(1, 255),
        "memory": _SIZE,
        "cmdline": _WORDS,
        "cpu_model": _TEXT,
        "metric": _WORD,
        "margin": _FRACTION,
        "error": _FRACTION,
        "max_boots": _count(2),
        "seed": _count(0),
    }
)
_EXPERIMENT_FORMS: Mapping[str, Schema] = MappingProxyType(
    {**_CELL_FORMS, "accel": _one_of(*ACCELERATORS), "connect": _WORD, "json": _TEXT, "html": _TEXT}
)
_LABEL = r"^[^/\s]([^/]*[^/\s])?$"
_GATE_FORMS: Mapping[str, Schema] = {
    "error": _FRACTION,
    "miss": _FRACTION,
    "metrics": {"type": "object", "additionalProperties": _FRACTION},
    "max_boots": _count(2),
    "max_time": _DURATION,
    "fails": {
        "anyOf": [
            _one_of(*(str(kind) for kind in FailKind)),
            {"type": "array", "items": _one_of(*(str(kind) for kind in FailKind))},
        ]
    },
}


def _matrix_forms() -> Mapping[str, Schema]:
    cell = {"$ref": "#/$defs/cell"}
    several = {"type": "object", "minProperties": 1, "propertyNames": {"pattern": _LABEL}}
    axes = {
        key: {
            "anyOf": [
                {"type": "array", "items": {**_TEXT, "pattern": _LABEL}, "minItems": 1, "uniqueItems": True},
                {**several, "additionalProperties": _CELL_FORMS[key]},
            ]
        }
        for key in CELL_KEYS
    }
    others = {
        "type": "object",
        "properties": axes,
        "minProperties": 1,
        "propertyNames": {"pattern": r"^[^/=\s]([^/=]*[^/=\s])?$"},
        "additionalProperties": {**several, "additionalProperties": cell},
    }
    return {
        "title": {"type": ["string", "number"], "pattern": _LABEL},
        "extends": _WORD,
        "axes": others,
        "exclude": {"type": "array", "items": _PATTERNS},
        "include": {
            "type": "array",
            "items": {
                "type": "object",
                "minProperties": 1,
                # Of an axis it is a label, which may be any text.
                "properties": {key: {"anyOf": [_TEXT, _CELL_FORMS[key]]} for key in CELL_KEYS},
                "additionalProperties": _TEXT,
            },
        },
        "adjust": {"type": "array", "items": {**_adjustment(), "minProperties": 2}},
        "gate": _keys(GATE_KEYS, GATE_MEANINGS, _GATE_FORMS),
        "waivers": _WORD,
        "nightly": _keys(
            NIGHTLY_KEYS,
            NIGHTLY_MEANINGS,
            {"series": {"anyOf": [_TEXT, {**_list_of(_TEXT), "minItems": 1}]}, "newest": _count(1)},
        ),
    }


def _list_of(form: Schema) -> Schema:
    return {"type": "array", "items": form, "uniqueItems": True}


def _adjustment() -> dict[str, Any]:
    found = _keys(ADJUST_KEYS, ADJUST_MEANINGS, {"when": _PATTERNS})
    found["properties"] |= _keys(CELL_KEYS, EXPERIMENT_MEANINGS, _CELL_FORMS)["properties"]
    return found


def experiment_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of experiment and matrix files. Nothing is required: a command line may say it."""
    found = _keys(
        (*MATRIX_KEYS, *EXPERIMENT_KEYS),
        {**MATRIX_MEANINGS, **EXPERIMENT_MEANINGS},
        {**_matrix_forms(), **_EXPERIMENT_FORMS},
        needed=False,
    )
    head = {
        "$schema": DIALECT,
        "title": "kab: experiment or matrix",
        "description": "A file for `kab ab -f`, `kab bisect -f`, `kab plan`, `kab run`, `kab gate` and `kab nightly`.",
    }
    return {**head, **found, "$defs": {"cell": _keys(CELL_KEYS, EXPERIMENT_MEANINGS, _CELL_FORMS, needed=False)}}


def waivers_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of files of waivers."""
    forms: Mapping[str, Schema] = {
        "cells": _TEXT,
        "metrics": _WORD,
        "bound": _FRACTION,
        "owner": {**_TEXT, "maxLength": 1000},
        "reason": {**_TEXT, "maxLength": 1000},
        "until": {
            "anyOf": [
                # An editor's YAML takes 7.4 for a number; so it does 7.10, where the quotes matter to it only.
                {"type": "number", "minimum": 0},
                {
                    "type": "string",
                    "pattern": r"^\s*(\d{4}-\d{2}-\d{2}|v?\d{1,4}\.\d{1,4}(\.\d{1,4})?(-rc\d{1,3})?)\s*$",
                },
            ]
        },
    }
    head = {
        "$schema": DIALECT,
        "title": "kab: waivers",
        "description": "What a gate bears with: the file that `waivers` of a matrix names.",
    }
    return {**head, "type": ["array", "null"], "items": _keys(WAIVER_KEYS, WAIVER_MEANINGS, forms)}


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = MappingProxyType(
    {"experiment": experiment_schema, "waivers": waivers_schema}
)
"""Name in `kab schema NAME` -> what makes the schema."""
