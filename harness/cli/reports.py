"""The files that a command writes its result to, looked at before its first boot and written at its end."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import click

from harness.errors import ConfigError, HostError
from harness.host.outputs import check_output, own_descriptor, same_file, write_output
from harness.parse.foreign import printable

_WHAT = {"mail": "mail", "json": "JSON", "html": "report", "junit": "JUnit", "png": "picture"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Where to write what; ``-`` is stdout, where the summary then gives way."""

    html: Path | None = None
    json: Path | None = None
    mail: Path | None = None
    png: Path | None = None
    junit: Path | None = None

    def check(self) -> None:
        """Raise ConfigError or HostError where one of the files could not be written, or two are the same."""
        named = self._named()
        for option, path in named.items():
            if not _is_stdout(path):
                check_output(path, f"--{option}")
        options = list(named)
        for place, first in enumerate(options):
            for second in options[place + 1 :]:
                both = [_is_stdout(named[option]) for option in (first, second)]
                if all(both) or (not any(both) and same_file(named[first], named[second])):
                    raise ConfigError(
                        f"--{first} and --{second} both name {named[second]}",
                        remedy="Name another for one of them.",
                    )

    @property
    def take_stdout(self) -> bool:
        """Whether one of them is stdout."""
        return any(map(_is_stdout, self._named().values()))

    def write(self, make: Mapping[str, Callable[[], str | bytes]]) -> None:
        """Write each file asked for with what `make` gives for its option ("html", ...).

        All are tried. Raises the first HostError.
        """
        failure: HostError | None = None
        for option, path in self._named().items():
            made = make[option]()
            if _is_stdout(path):
                click.echo(made, nl=isinstance(made, str) and not made.endswith("\n"))
                continue
            # Where `path` is a descriptor that a stream has, too.
            sys.stdout.flush()
            try:
                write_output(path, made.encode() if isinstance(made, str) else made)
            except HostError as error:
                failure = failure or error
            else:
                click.echo(f"\n{_WHAT[option]}: {printable(str(path))}", err=True)
        if failure is not None:
            raise failure

    def _named(self) -> dict[str, Path]:
        named = {"mail": self.mail, "json": self.json, "html": self.html, "junit": self.junit, "png": self.png}
        return {option: path for option, path in named.items() if path is not None}


@runtime_checkable
class Mailed(Protocol):
    """A report that can be a mail, too."""

    def mail(self) -> str:
        """For those who wait for it: the kernel's lists, whoever releases."""


@runtime_checkable
class Pictured(Protocol):
    """A report that can be a picture, too."""

    def png(self) -> bytes:
        """For a mail or a chat."""


@runtime_checkable
class Tested(Protocol):
    """A report that can be the results of tests, too."""

    def junit(self) -> str:
        """For a CI system."""


class Report(Protocol):
    """What ``tell`` tells."""

    def text(self) -> str:
        """For a terminal."""

    def json(self) -> str:
        """For a program."""

    def html(self) -> str:
        """For a browser."""


def tell(report: Report, reports: Reports) -> None:
    """Print the summary of a stored run (to stderr where a report takes stdout), and write the reports asked for."""
    click.echo(report.text(), err=reports.take_stdout)
    made: dict[str, Callable[[], str | bytes]] = {"json": report.json, "html": report.html}
    if isinstance(report, Mailed):
        made["mail"] = report.mail
    elif reports.mail is not None:
        raise ConfigError("there is no mail of a comparison", remedy="Leave --mail out; the text above fits a mail.")
    if isinstance(report, Pictured):
        made["png"] = report.png
    elif reports.png is not None:
        raise ConfigError("only a matrix has a picture", remedy="Leave --png out; --html has this run's charts.")
    if isinstance(report, Tested):
        made["junit"] = report.junit
    reports.write(made)


def check_target(path: Path, option: str) -> None:
    """Raise ConfigError or HostError where a result could not be written to `path`; ``-`` is stdout."""
    if not _is_stdout(path):
        check_output(path, option)


def write_target(path: Path, text: str) -> None:
    """Write a result to `path`, all of it or nothing; ``-`` is stdout. Raises HostError."""
    if _is_stdout(path):
        click.echo(text, nl=False)
        return
    # Where `path` is a descriptor that a stream has, too.
    sys.stdout.flush()
    write_output(path, text.encode())


def _is_stdout(path: Path) -> bool:
    return path == Path("-") or own_descriptor(path) == 1
