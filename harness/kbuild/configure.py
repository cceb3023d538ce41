"""From a recipe to the .config of one tree: kconfig resolves it, and every wanted option is looked for afterwards."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from harness.errors import HostError, NoKernelError
from harness.kbuild.make import BUILT, Make
from harness.kbuild.recipe import Recipe
from harness.model.source import MICRO
from harness.parse.buildlog import Blame, first_failure
from harness.parse.foreign import printable
from harness.parse.fragment import (
    Lost,
    Need,
    conditions,
    config_values,
    defined_options,
    lay_over,
    loss_text,
    lost_options,
)

# Of what a build says, in messages.
LINE_CHARS = 500
_MODULES_FILE = "loaded-modules"


def configure(make: Make, recipe: Recipe) -> str:
    """The .config of `recipe` in the tree that is checked out.

    Raises NoKernelError naming each wanted option that is lost and why, HostError, and BuildError's cause as
    ``first_failure`` tells it where kconfig itself does not build or refuses the tree.
    """
    output = make.folder.configuring
    output.mkdir(parents=True, exist_ok=True)
    config = output / ".config"
    if recipe.name == MICRO:
        _kconfig(make, "tinyconfig")
        base = config.read_text()
    else:
        base = recipe.base
    config.write_text(lay_over(base, () if recipe.loaded else recipe.wanted))
    if recipe.loaded:
        # It keeps what is loaded only; what the guest needs comes on top of that.
        (output / _MODULES_FILE).write_text(f"Module Size Used by\n{recipe.loaded}")
        _kconfig(make, "localmodconfig", LSMOD=str(output / _MODULES_FILE))
        config.write_text(lay_over(config.read_text(), recipe.wanted))
    _kconfig(make, "olddefconfig")
    text = config.read_text()
    lost = lost_options(text, recipe.wanted)
    if lost:
        _check(make.folder.source, text, lost)
    return text


class KconfigError(Exception):
    """kconfig ended with an error; the folder's log says which."""


def _kconfig(make: Make, target: str, **variables: str) -> None:
    if make.run([target], output=make.folder.configuring, variables=variables) != 0:
        raise KconfigError(target)


def _check(source: Path, config: str, lost: Sequence[Lost]) -> None:
    """Raise NoKernelError for the lost options that this tree should have, each with the reason."""
    files = list(_kconfig_files(source))
    known = frozenset[str]().union(*(defined_options(text) for text in files))
    serious = [option for option in lost if option.wanted.need is Need.ALWAYS or option.wanted.name in known]
    if not serious:
        return
    have = config_values(config)
    reasons = {}
    for option in serious:
        name = option.wanted.name
        if name not in known:
            reasons[name] = "this version has no such option"
            continue
        needs = [condition for text in files if f"config {name}" in text for condition in conditions(text, name)]
        missing = [word for need in needs for word in re.findall(r"\b[A-Z0-9][A-Z0-9_]+\b", need) if word not in have]
        reasons[name] = f"it depends on {' and '.join(dict.fromkeys(needs))}" if needs else "another option sets it"
        if missing:
            reasons[name] += f"; not set: {', '.join(dict.fromkeys(missing))}"
    raise NoKernelError(
        f"the configuration cannot be met; kconfig lost of it:\n{loss_text(serious, reasons)}",
        remedy="Set what they depend on too, leave them out, or mark them `# if known` or `# if possible`.",
    )


def _kconfig_files(source: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(source):
        if folder == str(source):
            folders[:] = [name for name in folders if name not in {"Documentation", "tools", "samples"}]
        if folder == str(source / "arch"):
            folders[:] = [PurePosixPath(BUILT.kbuild_folder).name]
        for name in names:
            if name.startswith("Kconfig"):
                yield (Path(folder) / name).read_text(errors="replace")


def host_trouble(blame: Blame, line: str, where: Path) -> HostError | None:
    """The error for a build that the host made fail; None where the host is not to blame."""
    match blame:
        case Blame.DISK:
            return HostError(
                f"no space is left to build in {where}: {line}",
                remedy="Free some space (`kab clean --cache-limit SIZE` gives back what kab keeps), and build again.",
            )
        case Blame.MEMORY:
            return HostError(
                f"the host ran out of memory in a build: {line}", remedy="Free some memory, and build again."
            )
        case Blame.TOOL:
            package = {"libelf.h": "libelf-dev", "gelf.h": "libelf-dev"}.get(line, line)
            package = "libssl-dev" if line.startswith("openssl") else package
            return HostError(
                f"a build lacks {line} on this host", remedy=f"Install it: apt-get install {Path(package).name}"
            )
        case _:
            return None


def failure_of(log: str, where: Path) -> tuple[str, HostError | None]:
    """The first error of a failed build's output, and the error to raise instead where the host is to blame."""
    failure = first_failure(log)
    told = printable(failure.line, limit=LINE_CHARS)
    return failure.line, host_trouble(failure.blame, told, where)
