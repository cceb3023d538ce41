"""The pages are true: paths that are named exist, and what is made from the code has all that the code has."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from kab_reference import GENERATED, command_line, commands, filled, json_reference, paragraphs

from harness.cli.app import kab
from harness.config import load_workloads
from harness.report.compare.json import json_schema
from harness.report.history.json import history_json_schema
from harness.report.matrix.json import matrix_json_schema
from harness.report.search.json import search_json_schema
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [
    path
    for folder in ("harness", "benchmarks", "ci", "configs", "docs", "images", "kernels", "tests")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".md", ".sh", ".txt", ".json", ".yaml", ".j2"} and "data" not in path.parts
] + [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
# A path in the tree, in prose, a comment or a message; words behind it are none of it.
NAMED = re.compile(r"(?<![\w/.-])((?:docs|benchmarks/results)/[\w./-]*\w(?:\.\w+)?)")
LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")


def test_every_path_of_a_document_that_is_named_exists() -> None:
    named = [(path.relative_to(ROOT), found) for path in TEXTS for found in NAMED.findall(path.read_text())]
    assert len(named) > 20
    assert [(str(path), found) for path, found in named if not (ROOT / found).exists()] == []


def test_every_link_between_documents_leads_somewhere() -> None:
    documents = [path for path in TEXTS if path.suffix == ".md"]
    links = [(path, found) for path in documents for found in LINK.findall(path.read_text())]
    assert len(links) > 50
    assert [(str(path), found) for path, found in links if not (path.parent / found).exists()] == []


def test_every_page_has_one_title_and_is_reached() -> None:
    reached = {"index"}
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, page
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
            here = page.parent.relative_to(ROOT / "docs")
            reached |= {os.path.normpath(here / word) for word in tree.split() if not word.startswith(":")}
    assert {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES} <= reached


def test_all_that_can_be_generated_is_on_a_page() -> None:
    wanted = [
        name for page in PAGES for name in re.findall(r"^<!-- generated: (\S+) -->$", page.read_text(), re.MULTILINE)
    ]
    assert sorted(wanted) == sorted(GENERATED)
    with pytest.raises(KeyError, match="no-such"):
        filled("# A page\n\n<!-- generated: no-such -->\n")


def every_command(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    context = click.Context(command, info_name=name, parent=parent)
    yield context
    for inner_name, inner in commands(command, context):
        yield from every_command(inner, inner_name, context)


def test_the_command_line_is_whole() -> None:
    text = command_line()
    contexts = [*every_command(kab, "kab")]
    assert len(contexts) > 20
    for context in contexts:
        [section] = re.findall(
            rf"^##+ {re.escape(context.command_path)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE
        )
        options = [parameter for parameter in context.command.params if isinstance(parameter, click.Option)]
        for option in options:
            assert re.search(rf"^`[^`]*{re.escape(option.opts[-1])}\b[^`]*`\n: \S", section, re.MULTILINE), option.opts


def test_help_texts_become_markdown() -> None:
    assert paragraphs("One\nline with `code_x` and *not* [this].\n\n\b\nExamples:\n  kab a\n    b\n") == [
        "One line with `code_x` and \\*not\\* \\[this\\].\n",
        "Examples:\n",
        "```text\nkab a\n  b\n```\n",
    ]


@pytest.mark.parametrize(
    "schema",
    [json_schema(), search_json_schema(), matrix_json_schema(), history_json_schema()],
    ids=["comparison", "search", "matrix", "history"],
)
def test_every_field_of_the_json_is_documented(schema: dict[str, Any]) -> None:
    """Each object has a section, and each field of it a row with words."""

    def objects(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if isinstance(node.get("properties"), dict) and "type" in node:
                yield node
            for inner in node.values():
                yield from objects(inner)

    found = [*objects(schema)]
    text = json_reference(schema)
    assert len(found) > 6
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(found)
    rows = [row for row in text.splitlines() if row.startswith("| `")]
    assert len(rows) == sum(len(node["properties"]) for node in found)
    assert not [row for row in rows if not re.fullmatch(r"\| `\w+` \| .*\S.* \| \S.{3,} \|", row)]


def test_every_metric_and_workload_is_listed() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` ", GENERATED["metrics"](), re.MULTILINE)) == sorted(METRICS)
    assert re.findall(r"^## (\S+)", GENERATED["workloads"](), re.MULTILINE) == sorted(load_workloads())


def test_manual_pages_hold_what_the_help_holds() -> None:
    pytest.importorskip("click_man")
    from kab_manpages import page

    [ab] = [context for context in every_command(kab, "kab") if context.command_path == "kab ab"]
    text = page(ab.command, ab, {})
    assert text.startswith('.TH "KAB-AB" "1"')
    assert r"\fB\-\-margin\fP PERCENT" in text
    assert '.SH "EXAMPLES"' in text
    root = page(kab, click.Context(kab, info_name="kab"), dict(commands(kab, click.Context(kab))))
    assert '.SH "EXIT STATUS"' in root
    assert r"See \fBkab-bisect(1)\fP" in root


def test_links_out_of_the_site_become_paths() -> None:
    pytest.importorskip("sphinx")
    from kab_sphinx import without_links_out

    site = ROOT / "docs"
    text = "See [figures](../../benchmarks/results/figures.md), [terms](../glossary.md) and [none](../../no-such.md)."
    assert without_links_out(text, site / "howto", site) == (
        "See figures (`benchmarks/results/figures.md`), [terms](../glossary.md) and [none](../../no-such.md)."
    )
