"""Fragments of kernel configurations: laying them over a .config, and finding the options that were lost.

A fragment is lines of a .config. A comment behind an option says when it is wanted:

- ``# if known``: where this version of the kernel has the option; there it must be met.
- ``# if possible``: a wish, which no error follows from.

``# kab: fragment NAME`` in a fragment means another one in its place; ``# kab: may be lost`` makes all of it wishes.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import ConfigError
from harness.model.kconfig import MAY_BE_LOST, UNSET
from harness.parse.foreign import printable
from harness.parse.kconfig import option_line, parse_line

_INCLUDE = re.compile(r"#\s*kab:\s*fragment\s+(?P<name>\S+)\s*")
_DEFINITION = re.compile(r"^\s*(?:menu)?config\s+(\w+)\s*(?:#.*)?$", re.MULTILINE)
_VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)\s*=[ \t]*(\S*)", re.MULTILINE)


class Need(StrEnum):
    """How much an option is wanted."""

    ALWAYS = "always"
    IF_KNOWN = "if known"
    IF_POSSIBLE = "if possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An option of a fragment."""

    # Without CONFIG_.
    name: str
    # As in a .config; "n" is "is not set".
    value: str
    need: Need = Need.ALWAYS
    # "FILE:LINE", for messages.
    where: str = ""

    @property
    def line(self) -> str:
        """The option as a line of a .config."""
        return option_line(self.name, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A wanted option that the configuration does not have in the end."""

    wanted: Wanted
    # The value that it has instead.
    got: str


def parse_fragment(text: str, *, name: str, include: Callable[[str], str] | None = None) -> tuple[Wanted, ...]:
    """The options of the fragment called `name`; `include` gives the text of one that it names.

    Raises ConfigError with file and line for what is no line of a fragment.
    """
    found: list[Wanted] = []
    lines = _lines(text)
    wishes = MAY_BE_LOST in lines
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        included = _INCLUDE.fullmatch(line)
        if included is not None and include is not None:
            found += parse_fragment(include(included["name"]), name=included["name"], include=include)
            continue
        option = parse_line(line)
        if option is None:
            if line.strip() and not line.lstrip().startswith("#"):
                raise ConfigError(
                    f"{where}: `{printable(line.strip(), limit=100)}` is no line of a kernel configuration",
                    remedy="Write CONFIG_NAME=VALUE, or # CONFIG_NAME is not set.",
                )
            continue
        found.append(
            Wanted(
                name=option.name,
                value=option.value,
                need=Need.IF_POSSIBLE if wishes else _need(option.comment, where),
                where=where,
            )
        )
    return tuple(found)


def config_values(text: str) -> dict[str, str]:
    """The options of a .config that are set, without CONFIG_; "is not set" and absent are the same."""
    return {
        option.name: option.value
        for option in map(parse_line, _lines(text))
        if option is not None and option.value != UNSET
    }


def lay_over(base: str, wanted: Iterable[Wanted]) -> str:
    """The text of a .config: `base` with the wanted options in place of its own, the last one wins."""
    last = {option.name: option for option in wanted}
    kept = []
    for line in _lines(base):
        option = parse_line(line)
        if option is not None and option.name not in last:
            # Without what stands behind it: kconfig takes that for a part of a number.
            kept.append(option.text)
    return "".join(f"{line}\n" for line in (*kept, *(option.line for option in last.values())))


def lost_options(config: str, wanted: Iterable[Wanted]) -> tuple[Lost, ...]:
    """Which of the wanted options (the last one of a name counts) the .config does not have; wishes do not count."""
    have = config_values(config)
    last = {option.name: option for option in wanted}
    return tuple(
        Lost(wanted=option, got=have.get(name, "n"))
        for name, option in last.items()
        if option.need is not Need.IF_POSSIBLE and not _met(option.value, have.get(name))
    )


def defined_options(kconfig: str) -> frozenset[str]:
    """The options that a Kconfig file defines."""
    return frozenset(_DEFINITION.findall(kconfig))


def conditions(kconfig: str, name: str) -> tuple[str, ...]:
    """What the option depends on, as the Kconfig file that defines it says."""
    found: list[str] = []
    inside = False
    for line in kconfig.splitlines():
        if re.match(r"\s*(menu)?config\s", line) or re.match(r"(end)?(menu|if|choice)\b|source\b", line.strip()):
            inside = re.fullmatch(rf"\s*(menu)?config\s+{re.escape(name)}\s*(#.*)?", line) is not None
        elif inside and (match := re.match(r"\s*depends on\s+(.*)", line)):
            found.append(match[1].strip())
    return tuple(found)


def loss_text(losses: Sequence[Lost], reasons: Mapping[str, str]) -> str:
    """A line for each lost option; `reasons` by name."""
    lines = []
    for lost in losses:
        option = lost.wanted
        state = "is not set" if lost.got == "n" else f"is {lost.got}"
        reason = reasons.get(option.name, "")
        lines.append(f"  {option.line} ({option.where}): it {state}{f'; {reason}' if reason else ''}")
    return "\n".join(lines)


def tree_version(makefile: str) -> tuple[int, int, int] | None:
    """The version that a kernel's top Makefile tells; None when it is none."""
    found = dict(_VERSION.findall(makefile))
    try:
        return int(found["VERSION"]), int(found["PATCHLEVEL"]), int(found.get("SUBLEVEL") or 0)
    except (KeyError, ValueError):
        return None


def _lines(text: str) -> list[str]:
    # Not splitlines(): a text may hold what Unicode takes for the end of a line.
    return text.replace("\r\n", "\n").split("\n")


def _need(comment: str, where: str) -> Need:
    if not comment.startswith("if "):
        return Need.ALWAYS
    try:
        return Need(comment)
    except ValueError:
        raise ConfigError(
            f"{where}: cannot read the condition `{comment}`",
            remedy=f"There are `{Need.IF_KNOWN}` and `{Need.IF_POSSIBLE}`.",
        ) from None


def _met(wanted: str, got: str | None) -> bool:
    # kconfig leaves out an empty text whose option cannot be seen.
    return got == wanted or (got is None and wanted in {"n", '""'})
