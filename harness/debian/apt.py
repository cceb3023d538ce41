"""A private APT root: reads many suites at once, checks their signatures, and leaves the host's APT state alone.

The host's own apt.conf, proxies, credentials and certificates apply, for APT reads them before our configuration.
"""

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness.debian.aptsources import MIRROR_VARIABLE, Mirrors
from harness.debian.keyring import require_keyring
from harness.errors import HostError, TransientHostError
from harness.host import process
from harness.model.arch import X86_64
from harness.model.kernel import Package
from harness.parse.foreign import printable

_log = logging.getLogger(__name__)

_APT_HELPER = "/usr/lib/apt/apt-helper"
_UPDATE_TIMEOUT_S = 900.0
_DOWNLOAD_TIMEOUT_S = 3600.0
_POLL_S = 0.05
_CHUNK_BYTES = 1024 * 1024
# Of what APT says, in messages.
_LINE_CHARS = 400

_CONFIGURATION = """\
// Written by kab; read by APT after the host's own configuration.
Dir::State "{root}/state";
Dir::State::status "/dev/null";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{root}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Update::Error-Mode "any";
// The cache may lie where APT's sandbox user may not look; signatures and hashes are checked all the same.
APT::Sandbox::User "root";
#clear Acquire::IndexTargets::deb;
Acquire::IndexTargets::deb::Packages {{
  MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
  flatMetaKey "Packages";
  ShortDescription "Packages";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
  flatDescription "$(RELEASE) Packages";
  Optional "0";
}};
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::Retries "2";
// A host may be lax with its own sources; kernels that get measured and booted are always verified.
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
// "stable" becoming "oldstable" is no reason to stop.
Acquire::AllowReleaseInfoChange "true";
"""

_ABSENT = re.compile(r"E: The repository '.*' (does not have|no longer has) a Release file")
_COMPLAINT = re.compile(r"E: |W: (Failed to fetch|GPG error|An error occurred during the signature|Some index files)")
_SIGNATURE = re.compile(r"GPG error|NO_PUBKEY|BADSIG|EXPKEYSIG|REVKEYSIG|is not signed|signature", re.IGNORECASE)
_GONE = re.compile(r"404 +Not Found|File not found")
_MISMATCH = re.compile(r"Hash Sum mismatch|unexpected size|Mirror sync in progress|Hashes of expected file")
_NETWORK = re.compile(
    r"Could not (resolve|connect)|Temporary failure|timed out|Connection (failed|refused|reset)|Unable to connect"
    r"|Error reading from server|Undetermined Error|50[0-9] |Network is unreachable|Cannot initiate"
)


class PackageGoneError(HostError):
    """The mirror no longer has a package of the lists: they are out of date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSettings:
    """Where packages come from and who must have signed them."""

    mirrors: Mirrors
    keyring: Path
    # Suites of the archive and of the security archive to ask for; those that a mirror lacks are left out.
    suites: tuple[str, ...]
    security_suites: tuple[str, ...]
    # Debian's name of the architecture whose packages are wanted.
    architecture: str = X86_64.debian


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageList:
    """One suite's list of packages, verified and on disk."""

    path: Path
    # As it was asked for, e.g. "trixie-backports" or "experimental".
    suite: str
    # What else its Release file calls it, e.g. "stable-backports" and "rc-buggy".
    aliases: tuple[str, str]
    uri: str


class AptRoot:
    """APT with its own sources, lists and cache below one folder. Callers hold a lock while they use it."""

    def __init__(self, directory: Path, settings: AptSettings) -> None:
        """Nothing is written before ``update`` or ``download``."""
        self._directory = directory
        self._settings = settings
        self._configuration = directory / "apt.conf"

    def update(self) -> None:
        """Bring the package lists up to date.

        Raises HostError for a wrong signature or hash, or a mirror without any suite, TransientHostError for a mirror
        out of reach. The lists of before stay in place then.
        """
        self._write_configuration()
        done = self._run(["apt-get", "-qq", "update"], timeout_s=_UPDATE_TIMEOUT_S)
        if done.status != 0:
            complaints = [line for line in done.stderr.splitlines() if _COMPLAINT.match(line)]
            serious = [line for line in complaints if not _ABSENT.match(line)]
            if serious or not complaints:
                raise self._failure("cannot read Debian's package lists", serious or done.stderr.splitlines())
        if not self.package_lists():
            mirrors = self._settings.mirrors
            raise HostError(
                f"the mirror {mirrors.archive} holds none of the suites that kab looks for",
                remedy=f"Name another one: export {MIRROR_VARIABLE}=URI (the folder that holds dists/).",
            )

    def package_lists(self) -> list[PackageList]:
        """The lists that are there."""
        keys = ("FILENAME", "RELEASE", "CODENAME", "SUITE", "REPO_URI")
        done = self._run(
            ["apt-get", "indextargets", "--format", "\t".join(f"$({key})" for key in keys), "ShortDesc: Packages"],
            timeout_s=60,
        )
        if done.status != 0:
            raise self._failure("cannot read the private APT root", done.stderr.splitlines())
        lists = []
        for line in done.stdout.splitlines():
            path, suite, codename, role, uri = line.split("\t")
            lists.append(PackageList(path=Path(path), suite=suite, aliases=(codename, role), uri=uri.rstrip("/")))
        return lists

    def stanzas(self, path: Path, prefix: str) -> Iterator[str]:
        """Stanzas of a package list whose package name starts with `prefix`, read in pieces: lists are large."""
        mark = f"\nPackage: {prefix}".encode()
        reading, writing = os.pipe()
        try:
            reader = process.spawn([_APT_HELPER, "cat-file", path], stdout=writing, env=_environment())
        finally:
            os.close(writing)
        try:
            with os.fdopen(reading, "rb") as stream:
                rest = b"\n"
                while chunk := stream.read(_CHUNK_BYTES):
                    text, gap, rest = (rest + chunk).rpartition(b"\n\n")
                    # The gap's second newline belongs before the next stanza, for the mark to match there too.
                    yield from _matching(text + gap, mark)
                    rest = b"\n" + rest if gap else rest
                yield from _matching(rest, mark)
        finally:
            # An abandoned reader ends too: its pipe is closed.
            status = reader.wait()
        if status != 0:
            raise HostError(f"cannot read the package list {path}", remedy="Remove it; it is fetched again.")

    def download(self, packages: Sequence[Package], into: Path, progress: Callable[[int], None]) -> list[Path]:
        """Fetch `packages` into the folder `into`; `progress` is told the bytes that are there.

        APT checks each against the hash of the signed list. Raises PackageGoneError where the lists are out of date,
        HostError; files may be left in `into` then.
        """
        self._write_configuration()
        targets = [into / Path(package.filename).name for package in packages]
        words: list[str | Path] = []
        for package, target in zip(packages, targets, strict=True):
            words += [f"{package.uri}/{quote(package.filename)}", target, f"SHA256:{package.sha256}"]
        messages = into / "apt-messages"
        with messages.open("wb") as output:
            fetcher = process.spawn(
                self._command([_APT_HELPER, "-qq", "download-file", *words]), stderr=output, env=_environment()
            )
            try:
                deadline = time.monotonic() + _DOWNLOAD_TIMEOUT_S
                while fetcher.poll() is None:
                    progress(_bytes(targets))
                    if time.monotonic() > deadline:
                        raise TransientHostError(
                            f"fetching {packages[0].name} took more than {_DOWNLOAD_TIMEOUT_S:g} s"
                        )
                    time.sleep(_POLL_S)
            finally:
                if fetcher.poll() is None:
                    fetcher.kill()
                status = fetcher.wait()
        if status != 0:
            complaints = [line for line in messages.read_text(errors="replace").splitlines() if line.startswith("E: ")]
            what = f"cannot fetch {packages[0].name} {packages[0].version}"
            if any(_GONE.search(line) for line in complaints):
                raise PackageGoneError(
                    f"{what}: the mirror no longer has it", remedy="`kab kernels list` shows others."
                )
            raise self._failure(what, complaints)
        for package, target in zip(packages, targets, strict=True):
            if target.stat().st_size != package.size_bytes:
                raise HostError(f"{package.filename} has {target.stat().st_size} bytes, not {package.size_bytes}")
        progress(_bytes(targets))
        return targets

    def _write_configuration(self) -> None:
        settings = self._settings
        require_keyring(settings.keyring)
        try:
            for folder in ("state/lists/partial", "cache/archives/partial", "sources"):
                (self._directory / folder).mkdir(parents=True, exist_ok=True)
            self._configuration.write_text(
                _CONFIGURATION.format(root=self._directory, architecture=settings.architecture)
            )
            entries = [
                f"Types: deb\nURIs: {uri}\nSuites: {' '.join(suites)}\nComponents: main\n"
                f"Architectures: {settings.architecture}\nSigned-By: {settings.keyring}\n"
                for uri, suites in (
                    (settings.mirrors.archive, settings.suites),
                    (settings.mirrors.security, settings.security_suites),
                )
                if suites
            ]
            (self._directory / "sources" / "kab.sources").write_text("\n".join(entries))
        except OSError as error:
            raise HostError(
                f"cannot write the private APT root {self._directory}: {error.strerror}",
                remedy="Free some space or mend the folder's permissions, or set KAB_CACHE_DIR.",
            ) from error

    def _command(self, argv: Sequence[str | Path]) -> list[str | Path]:
        if shutil.which(argv[0]) is None:
            raise process.missing_tool(str(argv[0]))
        # APT must not go on when kab is killed.
        return [*process.dying_with_us(), argv[0], "-c", self._configuration, *argv[1:]]

    def _run(self, argv: Sequence[str | Path], *, timeout_s: float) -> process.Completed:
        return process.run(self._command(argv), timeout_s=timeout_s, check=False, env=_environment())

    def _failure(self, what: str, complaints: Sequence[str]) -> HostError:
        text = (
            "\n".join(printable(line, limit=_LINE_CHARS) for line in dict.fromkeys(complaints)) or "APT gave no reason"
        )
        mirrors = self._settings.mirrors
        if _MISMATCH.search(text):
            return HostError(
                f"{what}: what came is not what the signed list says (wrong hash, or cut short)\n{text}",
                remedy=f"The mirror {mirrors.archive} or a proxy before it is broken; use another ({MIRROR_VARIABLE}).",
            )
        if _NETWORK.search(text):
            return TransientHostError(
                f"{what}: the mirror cannot be reached\n{text}",
                remedy=f"Look after the network and APT's proxy settings, or name a mirror with {MIRROR_VARIABLE}.",
            )
        if _SIGNATURE.search(text):
            return HostError(
                f"{what}: their signature is wrong, or not by a key in {self._settings.keyring}\n{text}",
                remedy="Bring debian-archive-keyring up to date, or use a mirror that serves Debian unaltered "
                f"({MIRROR_VARIABLE}).",
            )
        return HostError(f"{what}:\n{text}", remedy="`kab doctor` checks the mirror.")


def _matching(text: bytes, mark: bytes) -> Iterator[str]:
    start = text.find(mark)
    while start >= 0:
        end = text.find(b"\n\n", start + 1)
        end = len(text) if end < 0 else end
        yield text[start + 1 : end].decode(errors="replace")
        start = text.find(mark, end)


def _bytes(paths: Sequence[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _environment() -> dict[str, str]:
    # APT's messages are read here, so they must not be translated.
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": ""}
