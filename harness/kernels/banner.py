"""What a boot image says of itself: the architecture that it is for, its release, and the kernel's banner."""

import re
from dataclasses import dataclass

from harness.errors import ConfigError
from harness.model.arch import X86_64, Architecture
from harness.parse.foreign import printable

_DEBIAN_VERSION = re.compile(r" Debian (?P<version>\d[0-9A-Za-z.+~:-]*) \(")
# A release names folders here and in the guest; uname(2) holds 64 characters of it.
_RELEASE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+~:@=,%-]{0,63}")
_BANNER_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class BootImage:
    """What a boot image says of itself."""

    # What the kernel calls itself (uname -r).
    release: str
    # Release, builder and build number: "6.1.0-56-cloud-amd64 (debian-kernel@...) #1 SMP Debian 6.1.192-2".
    banner: str
    architecture: Architecture = X86_64
    # Boot protocol of a bzImage, e.g. 0x20f.
    protocol: int = 0

    @property
    def version(self) -> str:
        """Debian's package version where the banner tells it ("6.1.192-2"), else the release."""
        match = _DEBIAN_VERSION.search(self.banner)
        return match["version"] if match else self.release


def read_banner(banner: str, *, name: str, architecture: Architecture, protocol: int = 0) -> BootImage:
    """The boot image with this banner; `name` is for messages. Raises ConfigError where it names no release."""
    if not banner.strip():
        raise ConfigError(f"{name} does not say which version it is", remedy=_remedy(architecture))
    release = banner.split()[0]
    if not _RELEASE.fullmatch(release):
        raise ConfigError(
            f"{name} calls itself `{printable(release, limit=80)}`, which is no kernel release (as in uname -r)",
            remedy=_remedy(architecture),
        )
    return BootImage(
        release=release,
        banner=printable(banner, limit=_BANNER_CHARS),
        architecture=architecture,
        protocol=protocol,
    )


def _remedy(architecture: Architecture) -> str:
    return f"Name an unaltered {architecture.kbuild_target}."
