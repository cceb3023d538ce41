"""Kernel configurations as text: read, written, and compared."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import ConfigError
from harness.model.kconfig import UNSET, ConfigOption, OptionChange
from harness.parse.foreign import printable

_SET = re.compile(r"CONFIG_(?P<name>\w+)=(?P<value>\"(?:[^\"\\]|\\.)*\"|[^\s#\"]+)\s*(?:#\s*(?P<comment>.*?))?")
_UNSET = re.compile(r"#\s*CONFIG_(?P<name>\w+) is not set\s*(?:#\s*(?P<comment>.*?))?")
_COMMENT = re.compile(r"# (?P<title>\S.*)")
_END = "# end of "
# What kconfig finds out about the compiler: nobody sets it. What people do set begins alike.
_FOUND = re.compile(
    r"(?!CC_OPTIMIZE_|CC_STACKPROTECTOR|GCC_PLUGIN|LD_DEAD_CODE_|LD_ORPHAN_WARN|RUST_)"
    r"(CC|GCC\d*|CLANG|AS|LD|LLD|RUSTC|PAHOLE|BINDGEN)_\w+"
)


@dataclass(frozen=True, slots=True)
class OptionLine:
    """A line of a configuration that says something of an option."""

    name: str
    # UNSET for "is not set".
    value: str
    # What stands behind it: ``why`` of ``CONFIG_A=y # why``.
    comment: str

    @property
    def text(self) -> str:
        """The line as kconfig writes it."""
        return option_line(self.name, self.value)


def parse_line(line: str) -> OptionLine | None:
    """The option that a line of a .config or a fragment sets or unsets; None where it is another line."""
    found = _SET.fullmatch(line.strip()) or _UNSET.fullmatch(line.strip())
    if found is None:
        return None
    return OptionLine(found["name"], found.groupdict().get("value", UNSET), found["comment"] or "")


def option_line(name: str, value: str) -> str:
    """The line of a .config that gives an option a value."""
    return f"# CONFIG_{name} is not set" if value == UNSET else f"CONFIG_{name}={value}"


def parse_config(text: str, *, name: str = "the configuration") -> dict[str, ConfigOption]:
    """The options of a .config by name, in order; the last value of one counts.

    Raises ConfigError, with the file `name` and the line, for what is no configuration.
    """
    # Not splitlines(): a text may hold what Unicode takes for the end of a line.
    lines = [line.strip() for line in text.split("\n")]
    # A title without an end is a comment between options, not a menu.
    menus = {line.removeprefix(_END) for line in lines if line.startswith(_END)}
    inside: list[str] = []
    found: dict[str, ConfigOption] = {}
    for number, line in enumerate(lines, start=1):
        option = parse_line(line)
        if option is not None:
            # Where it comes last, as its value.
            found.pop(option.name, None)
            found[option.name] = ConfigOption(name=option.name, value=option.value, menu=tuple(inside))
        elif line.startswith(_END):
            title = line.removeprefix(_END)
            if title in inside:
                del inside[inside.index(title) :]
        elif line and not line.startswith("#"):
            raise ConfigError(
                f"{name}:{number}: `{printable(line, limit=100)}` is no line of a kernel configuration",
                remedy="Name the .config of a kernel.",
            )
        elif (comment := _COMMENT.fullmatch(line)) and comment["title"] in menus:
            inside.append(comment["title"])
    if not found:
        raise ConfigError(f"{name} sets no option", remedy="Name the .config of a kernel.")
    return found


def diff_configs(good: Mapping[str, ConfigOption], bad: Mapping[str, ConfigOption]) -> tuple[OptionChange, ...]:
    """What differs, in the order of the bad configuration, then what only the good one has.

    An option that is absent is one that is not set. Left out are what kconfig finds out about the compiler, and numbers
    and texts that the bad configuration lacks: such an option goes with its parent and cannot be unset by itself.
    """
    changes = []
    for name in (*bad, *(name for name in good if name not in bad)):
        one, other = (side[name].value if name in side else UNSET for side in (good, bad))
        lost = other == UNSET and one not in {"y", "m"}
        if one != other and not lost and not found_out(name):
            menu = (bad.get(name) or good[name]).menu
            changes.append(OptionChange(name=name, good=one, bad=other, menu=menu))
    return tuple(changes)


def found_out(name: str) -> bool:
    """Whether kconfig finds the option out about the compiler, so that no configuration sets it."""
    return _FOUND.fullmatch(name) is not None


def render_config(options: Iterable[tuple[str, str]], *, comment: str = "") -> str:
    """The text of a .config (or fragment) of names and values, below a line of comment where one is given."""
    lines = [comment] if comment else []
    lines += [option_line(name, value) for name, value in options]
    return "".join(f"{line}\n" for line in lines)
