"""Kernel specs: how a user names a kernel on the command line or in an experiment file."""

import difflib
import re
import unicodedata
from pathlib import Path

from harness.errors import ConfigError
from harness.model.arch import ARCHITECTURES
from harness.model.kernel import DebianSpec, DebSpec, FileSpec, HostSpec, KernelSpec, TreeSpec
from harness.parse.foreign import printable
from harness.parse.gitspec import parse_git

FLAVOURS = tuple(flavour for architecture in ARCHITECTURES for flavour in architecture.flavours)
# For messages.
FLAVOUR_LIST = f"{', '.join(FLAVOURS[:-1])} and {FLAVOURS[-1]}"

FORMS = """A kernel is named in one of these ways:
  debian:6.12                       the newest 6.12 that Debian's suites hold
  debian:trixie-backports           the newest in a suite
  debian:7.2.12+deb13-cloud-amd64   one release (as in uname -r), or a package version such as 6.12.107-1
  debian:6.12/amd64                 the full flavour instead of cloud-amd64; /cloud-arm64 and /arm64 are those of arm64
  deb:FILE[,FILE...]                kernel packages on this disk
  file:BZIMAGE[,modules=DIR]        a kernel image and its lib/modules/RELEASE folder
  tree:DIR                          a built kernel tree
  git:TREE@REV[,config=FILE][,cc=clang]
                                    a revision of a kernel's git history, built when needed
  host                              the kernel that this host runs"""

_SHOWN_CHARS = 200
_SCHEMES = ("debian", "deb", "file", "tree", "host", "git")
_VERSION = re.compile(r"v?\d+\.\d+")
_SELECTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]*\Z")


def parse_kernel_spec(text: str) -> KernelSpec:
    """The spec that `text` names; nothing is looked up. Raises ConfigError with the right form where it can tell."""
    text = text.strip()
    # A newline, a NUL or an escape sequence is a slip of the pen: no file that anybody means has one in its name.
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ConfigError(
            f"`{printable(text, limit=_SHOWN_CHARS)}` is not a kernel spec: it holds a control character",
            remedy="Write it on one line, without tabs.",
        )
    if text == "host":
        return HostSpec()
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise ConfigError(f"`{text}` is not a kernel spec: it lacks its source", remedy=_suggestion(text))
    if scheme not in _SCHEMES:
        near = difflib.get_close_matches(scheme.lower(), _SCHEMES, n=1)
        hint = f"Did you mean `{near[0]}:{rest}`?\n" if near else ""
        raise ConfigError(f"`{text}` is not a kernel spec: there is no source `{scheme}`", remedy=hint + FORMS)
    if scheme == "host":
        raise ConfigError(f"`{text}` is not a kernel spec: `host` takes nothing after it", remedy="Write `host`.")
    if not rest.strip():
        raise ConfigError(f"`{text}` names no kernel after `{scheme}:`", remedy=FORMS)
    if scheme == "debian":
        return _debian(text, rest)
    if scheme == "deb":
        return _deb(text, rest)
    if scheme == "file":
        return _file(text, rest)
    if scheme == "git":
        return parse_git(text, rest)
    return TreeSpec(directory=Path(rest))


def flavour_of(release: str) -> str | None:
    """The flavour that a full release such as ``7.2.12+deb13-cloud-amd64`` ends with, or None."""
    return next((name for name in FLAVOURS if release.endswith(f"-{name}")), None)


def _debian(text: str, rest: str) -> DebianSpec:
    selector, slash, flavour = rest.partition("/")
    if not _SELECTOR.match(selector):
        raise ConfigError(f"`{text}`: `{selector}` is neither a version nor a suite", remedy=FORMS)
    if not slash:
        return DebianSpec(selector=selector)
    if flavour not in FLAVOURS:
        raise ConfigError(f"`{text}`: there is no flavour `{flavour}`", remedy=f"Flavours are {FLAVOUR_LIST}.")
    named = flavour_of(selector)
    if named is not None and named != flavour:
        raise ConfigError(f"`{text}`: {selector} is of flavour {named}, not {flavour}", remedy="Leave one of them out.")
    return DebianSpec(selector=selector, flavour=flavour)


def _deb(text: str, rest: str) -> DebSpec:
    names = rest.split(",")
    for name in names:
        if not name.endswith(".deb"):
            raise ConfigError(
                f"`{text}`: `{name}` is not a Debian package",
                remedy="Write deb:FILE.deb[,FILE.deb...]; from 7.0 on a kernel needs its linux-binary, "
                "linux-modules and linux-base packages.",
            )
    return DebSpec(packages=tuple(Path(name) for name in names))


def _file(text: str, rest: str) -> FileSpec:
    bzimage, *options = rest.split(",")
    modules: Path | None = None
    for option in options:
        key, equals, value = option.partition("=")
        if key != "modules" or not equals or not value or modules is not None:
            raise ConfigError(f"`{text}`: cannot read `{option}`", remedy="Write file:BZIMAGE[,modules=DIR].")
        modules = Path(value)
    if not bzimage:
        raise ConfigError(f"`{text}` names no kernel image", remedy="Write file:BZIMAGE[,modules=DIR].")
    return FileSpec(bzimage=Path(bzimage), modules=modules)


def _suggestion(text: str) -> str:
    if not text:
        return FORMS
    if text.endswith(".deb"):
        return f"Did you mean `deb:{text}`?"
    if "bzImage" in text or "vmlinuz" in text:
        return f"Did you mean `file:{text}`?"
    if "/" in text and not _VERSION.match(text):
        return f"Did you mean `tree:{text}` (a built kernel tree) or `file:{text}` (a kernel image)?"
    if _SELECTOR.match(text.partition("/")[0]):
        return f"Did you mean `debian:{text.removeprefix('v') if _VERSION.match(text) else text}`?"
    return FORMS
