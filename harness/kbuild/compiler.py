"""Compilers: which ones this host has, and which of them a kernel's era can live with."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.host import process

_TIMEOUT_S = 30.0
_NAME = re.compile(r"(?P<kind>gcc|clang)(?:-(?P<major>\d+))?")
_MAJOR = re.compile(r"(?:gcc|clang)[^\n]*?\b(\d+)\.\d+\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A compiler of this host, and the linker that goes with it."""

    # As it is called: "gcc-12", "clang".
    name: str
    # What they call themselves: another identity is another kernel.
    identity: str
    major: int

    @property
    def is_clang(self) -> bool:
        """Whether it is clang."""
        return "clang" in Path(self.name).name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """From version `since` on a kernel builds with gcc `major` (or newer, or older)."""

    since: tuple[int, int]
    major: int


# The newest gcc that builds kernels older than `since`.
_NEWEST = (
    # C23 makes keywords of bool, true and false; b3bee1e7c3f2 ("x86/boot: Compile boot code with -std=gnu11 too").
    _Limit(since=(6, 15), major=14),
)
# The oldest gcc that builds kernels from `since` on: Documentation/process/changes.rst.
_OLDEST = (
    _Limit(since=(6, 16), major=8),
    _Limit(since=(5, 15), major=5),
)


def choose_compiler(wanted: str | None, version: tuple[int, int, int] | None) -> Compiler:
    """The compiler called `wanted`; None: the host's gcc, or the newest gcc that a kernel of `version` can live with.

    Raises HostError when there is none, with the package to install.
    """
    if wanted is not None:
        return identify(wanted)
    default = identify("gcc") if process.find_tool("gcc") else None
    if default is not None and (version is None or suits(default.major, version[:2])):
        return default
    others = [name for name in installed_gccs() if version is None or suits(int(name.partition("-")[2]), version[:2])]
    if others:
        return identify(others[0])
    if default is None:
        raise process.missing_tool("gcc")
    assert version is not None, "without a version any gcc will do"
    low, high = _range(version[:2])
    raise HostError(
        f"gcc {default.major} does not build Linux {version[0]}.{version[1]}, which wants gcc {low} to {high}",
        remedy=f"Install one: apt-get install gcc-{min(high, 12)}; or name a compiler (--cc clang).",
    )


def suits(major: int, version: tuple[int, ...]) -> bool:
    """Whether gcc `major` builds a kernel of `version`."""
    low, high = _range(version)
    return low <= major <= high


def installed_gccs(folders: Sequence[str] | None = None) -> list[str]:
    """Names of the gcc-N in PATH, the newest first."""
    found = {
        path.name
        for folder in (os.environ.get("PATH", "").split(":") if folders is None else folders)
        if folder
        for path in Path(folder).glob("gcc-[0-9]*")
        if re.fullmatch(r"gcc-\d+", path.name)
    }
    return sorted(found, key=lambda name: -int(name.partition("-")[2]))


def identify(name: str) -> Compiler:
    """The compiler called `name`. Raises ConfigError when that is none, HostError when it is not installed."""
    match = _NAME.fullmatch(Path(name).name)
    if match is None:
        raise ConfigError(
            f"`{name}` is no compiler that kab can use",
            remedy="Name gcc, clang, or one of a version: gcc-12, clang-16.",
        )
    if process.find_tool(name) is None and not Path(name).is_file():
        package = match[0]
        raise HostError(f"the compiler {name} is not installed", remedy=f"Install it: apt-get install {package}")
    first = process.run([name, "--version"], timeout_s=_TIMEOUT_S).stdout.partition("\n")[0].strip()
    linker = process.run(["ld", "--version"], timeout_s=_TIMEOUT_S).stdout.partition("\n")[0].strip()
    found = _MAJOR.search(first)
    if found is None:
        raise HostError(f"{name} does not tell its version: it says `{first}`")
    # Under another name it is the same compiler.
    told = re.sub(r"^\S+ \(", f"{match['kind']} (", first)
    return Compiler(name=name, identity=f"{told}, {linker}", major=int(found[1]))


def _range(version: tuple[int, ...]) -> tuple[int, int]:
    low = max((limit.major for limit in _OLDEST if version >= limit.since), default=4)
    high = min((limit.major for limit in _NEWEST if version < limit.since), default=999)
    return low, high
