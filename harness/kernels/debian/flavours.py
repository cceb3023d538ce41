"""Debian's flavours of one kernel version, by the words that end its packages' names, and their architectures."""

from harness.host.architecture import host_architecture
from harness.model.arch import ARCHITECTURES, Architecture, of_flavour

FLAVOURS = tuple(flavour for architecture in ARCHITECTURES for flavour in architecture.flavours)


def default_flavour() -> str:
    """The flavour that is meant where none is named: the cloud kernels of this host's architecture."""
    return host_architecture().flavours[0]


def flavour_of(release: str) -> str | None:
    """The flavour that a full release such as ``7.2.12+deb13-cloud-amd64`` ends with, or None."""
    return next((name for name in FLAVOURS if release.endswith(f"-{name}")), None)


def architecture_of(flavour: str | None) -> Architecture:
    """The architecture of a flavour's kernels; this host's for None, or for a flavour that is not known."""
    return (of_flavour(flavour) if flavour else None) or host_architecture()
