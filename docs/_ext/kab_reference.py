"""Reference pages from the code: commands, keys of files, metrics, workloads, exit statuses, JSON, as Markdown.

Every function here is pure but for reading what ships with kab, and knows nothing of Sphinx (`kab_sphinx` does).
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from harness.cli.app import kab
from harness.config import load_experiment, load_workloads
from harness.config.experiment import (
    EXPERIMENT_KEYS,
    MATRIX_KEYS,
    experiment_names,
    find_experiment,
    matrix_names,
)
from harness.config.matrix import GATE_KEYS, load_matrix
from harness.config.matrix.layers import ADJUST_KEYS, NIGHTLY_KEYS
from harness.config.meanings import (
    ADJUST_MEANINGS,
    DISK_MEANINGS,
    EXPERIMENT_MEANINGS,
    FILESYSTEM_MEANINGS,
    GATE_MEANINGS,
    MATRIX_MEANINGS,
    NIGHTLY_MEANINGS,
    SETTING_MEANINGS,
    WAIVER_MEANINGS,
    WORKLOAD_MEANINGS,
    Meaning,
)
from harness.config.settings import SETTING_KEYS, variable_of
from harness.config.waivers import WAIVER_KEYS
from harness.config.workloads import WORKLOAD_KEYS
from harness.export.csv import BOOT_COLUMNS, CELL_COLUMNS
from harness.model.workload import Workload
from harness.parse.diskspec import DISK_KEYS, FILESYSTEM_KEYS, disk_text, filesystem_text
from harness.parse.units import duration_text, size_text
from harness.report.compare.json import json_schema
from harness.report.history.json import history_json_schema
from harness.report.matrix.json import matrix_json_schema
from harness.report.planned import plan_schema
from harness.report.search.json import search_json_schema
from harness.workloads.registry import MetricRow, metric_table


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a `|` in a cell is escaped."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head))]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """`text` in backquotes."""
    return f"`{text}`" if text else ""


# Keys of files


def keys(order: Sequence[str], meanings: Mapping[str, Meaning]) -> str:
    """A table of keys: what each means, and what holds without it. Raises KeyError for a key without a meaning."""
    rows = ((code(key), meanings[key].says, _default(meanings[key])) for key in order)
    return table(("key", "what it is", "default"), rows)


def _default(meaning: Meaning) -> str:
    return "needed" if meaning.needed else code(meaning.default) or meaning.otherwise or "none"


def settings() -> str:
    """The keys of the settings file, with the variable that goes over each."""
    rows = (
        (code(key), SETTING_MEANINGS[key].says, _default(SETTING_MEANINGS[key]), code(variable_of(key)))
        for key in SETTING_KEYS
    )
    return table(("key", "what it is", "default", "variable"), rows)


# Catalogues


def metrics() -> str:
    """Two tables: speeds, and witnesses with how to read them."""
    rows = metric_table()
    speeds = (
        (code(row.name), row.title, f"{row.unit or 'a ratio'}, {row.direction}", _sources(row))
        for row in rows
        if row.role == "deciding"
    )
    others = (
        (code(row.name), f"{row.title}; {row.unit or 'a ratio'}", _reading(row), _sources(row))
        for row in rows
        if row.role != "deciding"
    )
    return (
        "## Speeds\n\n"
        + table(("metric", "what it is", "unit, better", "from"), speeds)
        + "\n## Witnesses\n\n"
        + table(("metric", "what it is; unit", "how to read it", "from"), others)
    )


def _reading(row: MetricRow) -> str:
    never = {"witness, never deciding": "Never decides.", "shown only": "Never decides."}.get(row.role, "")
    return "; ".join(text for text in (row.meaning, never) if text)


def _sources(row: MetricRow) -> str:
    """The kinds of workloads and the probes that yield it."""
    return ", ".join(code(source) for source in row.sources)


def workloads() -> str:
    """A section for each workload that ships with kab."""
    return "\n".join(_workload(workload) for _, workload in sorted(load_workloads().items()))


def _workload(workload: Workload) -> str:
    rows = ((code(name), code(_parameter(name, value))) for name, value in workload.parameters.items())
    parameters = table(("parameter", "value"), rows)
    timing = (
        f"Each boot: a warm-up of {duration_text(workload.warmup_s)}, then {workload.iterations} iterations of "
        f"{duration_text(workload.runtime_s)}. Its files need {size_text(workload.disk_bytes)}."
    )
    deciding = ", ".join(code(name) for name in workload.deciding)
    return (
        f"## {workload.name}\n\n{workload.title}.\n\n**Stands for:** {workload.stands_for}\n\n{timing} "
        f"May decide: {deciding}.\n\n{parameters}"
    )


def _parameter(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and name.endswith("_size"):
        return size_text(value)
    return str(value)


def experiments() -> str:
    """A table of the experiments that ship with kab."""
    rows = []
    for name in experiment_names():
        request = load_experiment(find_experiment(name))
        rows.append(
            (
                code(name),
                code(request.workload.text) if request.workload else "",
                code(disk_text(request.disk)) if request.disk else "",
                code(filesystem_text(request.filesystem)) if request.filesystem else "",
            )
        )
    return table(("experiment", "workload", "disk", "filesystem"), rows)


def matrices() -> str:
    """A table of the matrices that ship with kab."""
    rows = []
    for name in matrix_names():
        found = load_matrix(find_experiment(name))
        labels: dict[str, dict[str, None]] = {}
        for cell in found.cells:
            for axis, label in cell.axes.items():
                labels.setdefault(axis, {})[label] = None
        axes = "; ".join(f"{axis}: {', '.join(map(code, found))}" for axis, found in labels.items())
        rows.append((code(name), str(len(found.cells)), axes))
    return table(("matrix", "cells", "axes"), rows)


# The command line


def command_line() -> str:
    """A section for each verb, and below it one for each verb of its own."""
    return "\n".join(_sections(kab, "kab", None, 2))


def commands(group: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Verbs of a group that are shown, with their names, in order."""
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            if found is not None and not found.hidden:
                yield name, found


def _sections(command: click.Command, name: str, parent: click.Context | None, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield f"{'#' * level} {context.command_path}\n"
    yield _command(command, context)
    for inner_name, inner in commands(command, context):
        yield from _sections(inner, inner_name, context, level if parent is None else level + 1)


def _command(command: click.Command, context: click.Context) -> str:
    usage = f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    parts = [usage, *paragraphs(command.help or "")]
    records = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        # Every verb has it; said once.
        and (context.parent is None or parameter.name != "help")
        and (record := parameter.get_help_record(context))
    ]
    # An option list reads better than a table where the terms are long; every screen is wide enough for it.
    parts += [f"`{term}`\n: {_prose(text)}\n" for term, text in records]
    parts += paragraphs(command.epilog or "")
    return "\n".join(parts)


def paragraphs(text: str) -> list[str]:
    r"""click's help text as Markdown; what follows a ``\b`` keeps its lines, but for a first one with a colon."""
    found = []
    for block in inspect.cleandoc(text).split("\n\n"):
        if not block.strip():
            continue
        if not block.startswith("\b"):
            found.append(_prose(" ".join(block.split())) + "\n")
            continue
        lines = block.removeprefix("\b").strip("\n").splitlines()
        if lines[0].rstrip().endswith(":"):
            found.append(f"{_prose(lines.pop(0).strip())}\n")
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        found.append("```text\n" + "\n".join(line[indent:] for line in lines) + "\n```\n")
    return found


def _prose(text: str) -> str:
    """Plain text as Markdown: only backquotes mean something in click's help texts as kab writes them."""
    pieces = text.split("`")
    for place in range(0, len(pieces), 2):
        for sign in "\\*_[]<>":
            pieces[place] = pieces[place].replace(sign, f"\\{sign}")
    return "`".join(pieces)


# JSON


def json_reference(schema: Mapping[str, Any]) -> str:
    """What a JSON Schema says of a document: its own fields, then a section for each object, named by its path."""
    found = [*_objects(schema, "")]
    for name, inner in schema.get("$defs", {}).items():
        found += [(name, inner), *_objects(inner, f"{name}.")]
    # The quoted paths keep `a.*` from being emphasis.
    sections = (f"## `{path}`\n\n{inner['description']}\n\n{_fields(inner)}" for path, inner in found)
    return "\n".join((f"{schema['description']}\n\n## Top level\n", _fields(schema), *sections))


def _fields(schema: Mapping[str, Any]) -> str:
    rows = ((code(name), kind(field), field["description"]) for name, field in schema["properties"].items())
    return table(("field", "type", "meaning"), rows)


def _objects(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, schema) of every object below, in order; an item of an array is ``[]``, a free name ``.*``."""
    for name, field in schema.get("properties", {}).items():
        for suffix, inner in (("", field), ("[]", field.get("items")), (".*", field.get("additionalProperties"))):
            if isinstance(inner, dict) and "properties" in inner:
                yield f"{prefix}{name}{suffix}", {"description": field["description"], **inner}
                yield from _objects(inner, f"{prefix}{name}{suffix}.")


def kind(field: Mapping[str, Any]) -> str:
    """The type of a value of a JSON Schema, in words."""
    if "const" in field:
        return code(field["const"])
    if "enum" in field:
        return ", ".join("null" if value is None else code(str(value)) for value in field["enum"])
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name})"
    if "anyOf" in field:
        return " or ".join(sorted((kind(choice) for choice in field["anyOf"]), key="null".__eq__))
    names = [field["type"]] if isinstance(field["type"], str) else list(field["type"])
    if isinstance(inner := field.get("items"), dict):
        names[0] = f"array of {_several(inner)}"
    if isinstance(inner := field.get("additionalProperties"), dict):
        names[0] = f"object of {_several(inner)}"
    return " or ".join([field.get("format", names[0]), *names[1:]])


def _several(field: Mapping[str, Any]) -> str:
    """The type of values that all are like `field`."""
    name = kind(field)
    return f"values ({name})" if " or " in name or ", " in name else f"{name}s"


def csv_columns() -> str:
    """The columns of the tables that are exported."""
    rows = (("cells", CELL_COLUMNS), ("boots", BOOT_COLUMNS))
    return table(("rows", "columns"), ((code(name), ", ".join(map(code, columns))) for name, columns in rows))


GENERATED: Mapping[str, Callable[[], str]] = {
    "command-line": command_line,
    "experiment-keys": lambda: keys(EXPERIMENT_KEYS, EXPERIMENT_MEANINGS),
    "matrix-keys": lambda: keys(MATRIX_KEYS, MATRIX_MEANINGS),
    "gate-keys": lambda: keys(GATE_KEYS, GATE_MEANINGS),
    "nightly-keys": lambda: keys(NIGHTLY_KEYS, NIGHTLY_MEANINGS),
    "adjust-keys": lambda: keys(ADJUST_KEYS, ADJUST_MEANINGS),
    "waiver-keys": lambda: keys(WAIVER_KEYS, WAIVER_MEANINGS),
    "disk-keys": lambda: keys(("bus", *DISK_KEYS), DISK_MEANINGS),
    "filesystem-keys": lambda: keys(("type", *FILESYSTEM_KEYS), FILESYSTEM_MEANINGS),
    "workload-keys": lambda: keys(WORKLOAD_KEYS, WORKLOAD_MEANINGS),
    "settings": settings,
    "metrics": metrics,
    "workloads": workloads,
    "experiments": experiments,
    "matrices": matrices,
    "json-ab": lambda: json_reference(json_schema()),
    "json-plan": lambda: json_reference(plan_schema()),
    "json-history": lambda: json_reference(history_json_schema()),
    "json-bisect": lambda: json_reference(search_json_schema()),
    "json-matrix": lambda: json_reference(matrix_json_schema()),
    "csv-columns": csv_columns,
}
"""Name in a page's ``<!-- generated: NAME -->`` -> what makes the Markdown that takes its place."""


def filled(page: str) -> str:
    """A page's text with its markers replaced. Raises KeyError for a marker that nothing is behind."""
    lines = []
    for line in page.splitlines():
        if line.startswith("<!-- generated:"):
            line = GENERATED[line.removeprefix("<!-- generated:").removesuffix("-->").strip()]()
        lines.append(line)
    return "\n".join(lines) + "\n"
