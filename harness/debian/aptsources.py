"""Which Debian mirror this host uses: read from its own APT sources, or from the environment."""

import logging
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from debian.deb822 import Deb822

from harness.errors import ConfigError, HostError

_log = logging.getLogger(__name__)

# Environment variables that override what APT says; the second defaults to a sibling of the first.
MIRROR_VARIABLE = "KAB_DEBIAN_MIRROR"
SECURITY_VARIABLE = "KAB_DEBIAN_SECURITY_MIRROR"

_RELEASES = (
    "bullseye|bookworm|trixie|forky|duke|sid|rc-buggy|oldoldstable|oldstable|stable|testing|unstable|experimental"
)
_ARCHIVE_SUITE = re.compile(rf"(?:{_RELEASES})(?:-updates|-backports|-backports-sloppy|-proposed-updates)?")
_SECURITY_SUITE = re.compile(rf"(?:{_RELEASES})(?:-security|/updates)")
_SCHEMES = frozenset({"http", "https", "file", "copy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """Base URIs, without a slash at the end."""

    # Holds dists/bookworm, dists/sid, ...
    archive: str
    # Holds dists/bookworm-security, ...
    security: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One URI of one enabled binary source entry."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def find_mirrors(*, environment: Mapping[str, str] | None = None, apt_directory: Path = Path("/etc/apt")) -> Mirrors:
    """The mirrors to use: ``KAB_DEBIAN_MIRROR`` where set, else what the host's APT sources name.

    Raises ConfigError for a variable that is no URI, HostError when the host's sources name no Debian mirror.
    """
    environment = os.environ if environment is None else environment
    archive = _from_variable(environment, MIRROR_VARIABLE)
    security = _from_variable(environment, SECURITY_VARIABLE)
    if archive is None:
        sources = read_sources(apt_directory)
        archive = _best(sources, _ARCHIVE_SUITE, folder="debian")
        if archive is None:
            raise HostError(
                f"no Debian mirror is named by the APT sources in {apt_directory}",
                remedy=f"Name one: export {MIRROR_VARIABLE}=URI (the folder that holds dists/).",
            )
        security = security or _best(sources, _SECURITY_SUITE, folder="debian-security")
    return Mirrors(archive=archive, security=security or f"{archive.removesuffix('-security')}-security")


def read_sources(apt_directory: Path) -> list[AptSource]:
    """Every enabled binary source of ``sources.list`` and ``sources.list.d``, in APT's order. Raises HostError."""
    listed = sorted((apt_directory / "sources.list.d").glob("*"))
    found: list[AptSource] = []
    for path in (apt_directory / "sources.list", *listed):
        try:
            if path.suffix == ".list" and path.is_file():
                found.extend(parse_one_line(path.read_text()))
            elif path.suffix == ".sources" and path.is_file():
                found.extend(parse_deb822(path.read_text()))
        except (OSError, UnicodeDecodeError) as error:
            raise HostError(f"cannot read the APT sources in {path}: {error}") from error
    return found


def parse_one_line(text: str) -> Iterator[AptSource]:
    """Entries of a ``.list`` file: ``deb [option=value] URI SUITE COMPONENT...``."""
    for line in text.splitlines():
        entry = re.match(r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<rest>[^#]+)", line)
        if entry is None:
            continue
        uri, *words = entry["rest"].split()
        options = dict(word.partition("=")[::2] for word in shlex.split(entry["options"] or ""))
        yield AptSource(
            uri=uri,
            suites=tuple(words[:1]),
            components=tuple(words[1:]),
            signed_by=options.get("signed-by", ""),
        )


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Entries of a ``.sources`` file (deb822 paragraphs), one for each of a paragraph's URIs."""
    for paragraph in Deb822.iter_paragraphs(text, use_apt_pkg=False):
        enabled = paragraph.get("Enabled", "yes").strip().lower() not in {"no", "false", "0", "off", "disable"}
        if not enabled or "deb" not in paragraph.get("Types", "").split():
            continue
        for uri in paragraph.get("URIs", "").split():
            yield AptSource(
                uri=uri,
                suites=tuple(paragraph.get("Suites", "").split()),
                components=tuple(paragraph.get("Components", "").split()),
                signed_by=paragraph.get("Signed-By", ""),
            )


def _from_variable(environment: Mapping[str, str], name: str) -> str | None:
    value = environment.get(name, "").strip().rstrip("/")
    if not value:
        return None
    if urlsplit(value).scheme not in _SCHEMES:
        raise ConfigError(f"{name}={value!r} is not the URI of a mirror", remedy="Write it as http://HOST/debian.")
    return value


def _best(sources: Iterable[AptSource], suite: re.Pattern[str], *, folder: str) -> str | None:
    """The URI that is Debian's own rather than a third party's with the same suite name; the first among equals."""

    def classify(source: AptSource) -> int:
        signed = "debian-archive" in source.signed_by
        return 2 * signed + (urlsplit(source.uri).path.rstrip("/").endswith(f"/{folder}"))

    candidates = [
        source
        for source in sources
        if "main" in source.components and any(suite.fullmatch(name.strip("/")) for name in source.suites)
    ]
    for source in sorted(candidates, key=classify, reverse=True):
        uri = _plain_uri(source.uri)
        if uri is not None and classify(source) > 0:
            return uri
    return None


def _plain_uri(uri: str) -> str | None:
    """The URI as other tools can use it: ``mirror+file:LIST`` (Debian's cloud images) becomes LIST's first line."""
    if uri.startswith("mirror+file:"):
        path = Path(urlsplit(uri.removeprefix("mirror+")).path)
        try:
            lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            _log.debug("ignoring %s: %s", uri, error)
            return None
        uri = next((words[0] for words in lines if words), "")
    return uri.rstrip("/") if urlsplit(uri).scheme in _SCHEMES else None
