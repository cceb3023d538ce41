"""What the scripts of a trial print: sections that begin with a line ``@@kab NAME``.

All of it comes from a guest, whose kernel is under test: any text is read, and what it lacks is a WorkloadError.
"""

import re
from collections.abc import Iterator, Mapping

from harness.errors import WorkloadError

# Only line feeds end a line.
_MARK = re.compile(r"^@@kab ([^\n]*)\n?", re.MULTILINE)
_LINE = re.compile(r"[^\n]+")
# Facts of a guest: what is longer, or more, says nothing to anybody.
_MOST_FACTS = 500
_LONGEST_FACT = 4096
# A disk's name, as scripts take it up again.
_DISK = re.compile(r"[A-Za-z0-9_-]{1,32}")


def parse_sections(text: str) -> dict[str, str]:
    """Name -> text of each section, in order; text before the first one is left out."""
    sections: dict[str, list[str]] = {}
    name, start = None, 0
    # Not line by line: a guest that floods prints millions of them.
    for mark in _MARK.finditer(text):
        if name is not None:
            sections[name].append(text[start : mark.start()])
        name, start = mark[1].strip(), mark.end()
        sections.setdefault(name, [])
    if name is not None:
        sections[name].append(text[start:])
    return {name: "".join(parts).strip("\n") for name, parts in sections.items()}


def lines_of(text: str) -> Iterator[str]:
    """The lines that are not empty, one after the other."""
    return (line[0] for line in _LINE.finditer(text))


def section(sections: Mapping[str, str], name: str) -> str:
    """The text of a section that must be there. Raises WorkloadError."""
    if name not in sections:
        raise WorkloadError(f"what the guest printed has no part {name!r}: it ended early, or was cut")
    return sections[name]


def parse_pairs(text: str) -> dict[str, str]:
    """``KEY=VALUE`` lines; others are left out."""
    return {key.strip(): value.strip() for key, equals, value in _partitioned(text, "=") if equals}


def parse_files(text: str) -> dict[str, str]:
    """Lines of ``grep -H ""``, ``PATH:LINE``; the lines of one file are joined again."""
    files: dict[str, list[str]] = {}
    for path, colon, content in _partitioned(text, ":"):
        if colon and path.startswith("/"):
            files.setdefault(path, []).append(content)
    return {path: "\n".join(lines) for path, lines in files.items()}


def bounded_facts(facts: Mapping[str, str]) -> dict[str, str]:
    """The first facts, none longer than fits a report; what was cut ends in "..."."""
    names = list(facts)[:_MOST_FACTS]
    return {_cut(name, 200): _cut(facts[name], _LONGEST_FACT) for name in names}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def parse_disk_name(text: str) -> str:
    """The name in a line ``name=NAME``. Raises WorkloadError for what is no name of a disk."""
    name = parse_pairs(text).get("name", "")
    if not _DISK.fullmatch(name):
        raise WorkloadError(f"the guest did not tell the test disk's name, but {name[:100]!r}")
    return name


def failed_steps(status: Mapping[str, str]) -> dict[str, str]:
    """Steps whose exit status is not 0, in order."""
    return {step: code for step, code in status.items() if code != "0"}


def _partitioned(text: str, separator: str) -> Iterator[tuple[str, str, str]]:
    return (line.partition(separator) for line in lines_of(text))
