"""``debian:SELECTOR[/FLAVOUR]``: how a user names one of Debian's kernels."""

import re
from dataclasses import dataclass

from harness.errors import ConfigError
from harness.kernels.debian.flavours import FLAVOURS, flavour_of
from harness.parse.suggest import enumerated

FORMS = """\
  debian:6.12                       the newest 6.12 that Debian's suites hold
  debian:trixie-backports           the newest in a suite
  debian:7.2.12+deb13-cloud-amd64   one release (as in uname -r), or a package version such as 6.12.107-1
  debian:6.12/amd64                 the full flavour instead of cloud-amd64; /cloud-arm64 and /arm64 are those of arm64
"""

_VERSION = re.compile(r"v?\d+\.\d+")
_SELECTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianSpec:
    """A full version, a series (``6.12``: newest of it) or a suite."""

    # "7.2.12+deb13-cloud-amd64" (release as in uname -r), "6.12.107-1" (package version), "6.12", "trixie-backports".
    selector: str
    # "cloud-amd64", "arm64", ...; None: the one that a full version names, or the host's own cloud flavour.
    flavour: str | None = None

    @property
    def named_flavour(self) -> str | None:
        """The flavour that the spec names in either way."""
        return self.flavour or flavour_of(self.selector)


def parse_debian(text: str, rest: str) -> DebianSpec:
    """The spec after ``debian:``. Raises ConfigError."""
    selector, slash, flavour = rest.partition("/")
    if not _SELECTOR.match(selector):
        raise ConfigError(f"`{text}`: `{selector}` is neither a version nor a suite")
    if not slash:
        return DebianSpec(selector=selector)
    if flavour not in FLAVOURS:
        raise ConfigError(f"`{text}`: there is no flavour `{flavour}`", remedy=f"Flavours are {enumerated(FLAVOURS)}.")
    named = flavour_of(selector)
    if named is not None and named != flavour:
        raise ConfigError(f"`{text}`: {selector} is of flavour {named}, not {flavour}", remedy="Leave one of them out.")
    return DebianSpec(selector=selector, flavour=flavour)


def suggest_debian(text: str) -> str | None:
    """Any word may be a suite, and any number a version."""
    if not _SELECTOR.match(text.partition("/")[0]):
        return None
    return f"Did you mean `debian:{text.removeprefix('v') if _VERSION.match(text) else text}`?"
