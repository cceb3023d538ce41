"""Manual pages of every verb, from the click commands that the reference shows: ``kab_manpages.py FOLDER``."""

import re
import sys
from pathlib import Path

import click
from click_man.core import generate_man_page
from kab_reference import commands

from harness import __version__
from harness.cli.app import kab

# Lines that begin so are requests to the formatter.
_REQUEST = re.compile(r"^(?=[.'])", re.MULTILINE)


def write_pages(folder: Path, command: click.Command, name: str, parent: click.Context | None = None) -> list[Path]:
    """Write NAME.1 and those of all verbs below into a folder that is there; their paths."""
    context = click.Context(command, info_name=name, parent=parent)
    inner = dict(commands(command, context))
    path = folder / f"{context.command_path.replace(' ', '-')}.1"
    path.write_text(page(command, context, inner), encoding="utf-8")
    below = [found for verb, each in inner.items() for found in write_pages(folder, each, verb, context)]
    return [path, *below]


def page(command: click.Command, context: click.Context, inner: dict[str, click.Command]) -> str:
    """One manual page. click-man knows no verbs that are loaded when they are used, and no epilogs: both are added."""
    # click-man reads `commands` of a group and gives each a line.
    verbs: dict[str, click.Command] = {verb: _Shown(each, {}) for verb, each in inner.items()}
    shown = click.Context(_Shown(command, verbs), info_name=context.info_name, parent=context.parent)
    text: str = generate_man_page(shown, version=__version__)
    # `man kab-ab`, as the file is named.
    text = text.replace(f'"{context.command_path.upper()}"', f'"{context.command_path.upper().replace(" ", "-")}"', 1)
    for block in (command.epilog or "").split("\n\n"):
        title, _, rest = block.strip("\b\n").partition("\n")
        if not title:
            continue
        if title.startswith("Exit status"):
            heading, rest = "EXIT STATUS", f"{title}\n{rest}"
        elif title == "Examples:":
            heading = "EXAMPLES"
        else:
            heading, rest = "NOTES", f"{title}\n{rest}"
        text += f'.SH "{heading}"\n.nf\n{_literal(rest)}\n.fi\n'
    return text


def _literal(text: str) -> str:
    return _REQUEST.sub(r"\\&", text.replace("\\", "\\e").replace("-", "\\-").rstrip("\n"))


class _Shown(click.Group):
    """A command as click-man wants it."""

    def __init__(self, command: click.Command, inner: dict[str, click.Command]) -> None:
        first = " ".join((command.help or "").split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
        super().__init__(command.name, commands=inner, params=command.params, help=command.help, short_help=first)
        self._usage = command.collect_usage_pieces

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return self._usage(ctx)


def main() -> None:
    """Write all pages into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{len(write_pages(folder, kab, 'kab'))} manual pages in {folder}")


if __name__ == "__main__":
    main()
