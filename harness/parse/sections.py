"""What the scripts of a trial print: sections that begin with a line ``@@kab NAME``."""

from collections.abc import Mapping

_MARK = "@@kab "


def parse_sections(text: str) -> dict[str, str]:
    """Name -> text of each section, in order; text before the first one is left out."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith(_MARK):
            current = sections.setdefault(line.removeprefix(_MARK).strip(), [])
        else:
            current.append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in sections.items()}


def parse_pairs(text: str) -> dict[str, str]:
    """``KEY=VALUE`` lines; others are left out."""
    return {key.strip(): value.strip() for key, equals, value in _partitioned(text, "=") if equals}


def parse_files(text: str) -> dict[str, str]:
    """Lines of ``grep -H ""``, ``PATH:LINE``; the lines of one file are joined again."""
    files: dict[str, str] = {}
    for path, colon, content in _partitioned(text, ":"):
        if colon and path.startswith("/"):
            files[path] = f"{files[path]}\n{content}" if path in files else content
    return files


def failed_steps(status: Mapping[str, str]) -> dict[str, str]:
    """Steps whose exit status is not 0, in order."""
    return {step: code for step, code in status.items() if code != "0"}


def _partitioned(text: str, separator: str) -> list[tuple[str, str, str]]:
    return [line.partition(separator) for line in text.splitlines()]
