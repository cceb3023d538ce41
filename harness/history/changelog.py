"""Changelogs of Debian's kernel packages: which upstream commits came with which package and point release.

A stanza of a stable update names each point release by the URL of its upstream changelog, and below it the commits:

    linux (6.12.107-1) trixie-security; urgency=high

      * New upstream stable update:
        https://.../ChangeLog-6.12.106
        - [arm64] KVM: arm64: a subject that may be wrapped
          over lines (CVE-2026-12345)

      [ Somebody ]
      * a change of Debian's own (Closes: #123456)

     -- Somebody <address>  Mon, 02 Nov 2026 10:00:00 +0100

New upstream releases (``6.12`` to ``6.16``) come without a list, and uploads to experimental with a partial one.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from debian.debian_support import Version

from harness.model.history import Change, Gap, GapKind, Origin, Step

_HEADER = re.compile(r"^(?P<source>linux\S*) \((?P<version>[^)]+)\) (?P<suites>[^;]+);.*$", re.MULTILINE)
# The signed package repeats the stanza of the package that it was made from, under a version of its own.
_SIGNED = re.compile(r"^  \* Sign kernel from linux\S* (\S+)$", re.MULTILINE)
_REBUILD = re.compile(r"~(bpo|deb)\d+[u+]\d+$")
_BULLET = re.compile(r"  ([*-+]) +(?P<text>\S.*)")
_ITEM = re.compile(r" {3,8}[-+*] +(?P<text>\S.*)")
_POINT_RELEASE = re.compile(r"\S*/ChangeLog-(?P<version>\d\S*)")
_UPDATE = re.compile(r"New upstream stable (update|release)|Update to stable", re.IGNORECASE)
_RELEASE = re.compile(r"New upstream (release|snapshot|merge)", re.IGNORECASE)
_NEWBIES = re.compile(r"/Linux_(?P<version>\d+\.\d+)")
_MARK = re.compile(r"\[(?P<names>[a-z0-9!*_/,. -]+)\] +")
_CVE = re.compile(r"CVE-\d+-\d+")
# "(CVE-2026-1, CVE-2026-2)", "(Closes: #123)", "(fixes CVE-2026-1)".
_NOTE = re.compile(r"\s*\([^()]*(?:CVE-\d|[Cc]loses:)[^()]*\)")

# What a git tree lists with the tags of upstream releases; and with those of the kernels' own versions.
_CLOSED = frozenset({GapKind.BEGINS, GapKind.RELEASES})
_CLOSED_EXACTLY = _CLOSED | {GapKind.UPDATES, GapKind.FORKED}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stanza:
    version: str
    suites: str
    body: str


@dataclass(slots=True)
class _Entry:
    """A bullet or item while its lines are gathered."""

    text: str
    item: bool
    origin: Origin
    point_release: str | None
    has_items: bool = False


def changes_between(changelog: str, older: str, newer: str, *, older_changelog: str = "") -> Step:
    """What `changelog`, that of the package version `newer`, lists since the package version `older`.

    Both are package versions ("6.12.107-1"). Rebuilds for other suites ("6.12.107-1~deb12u1") count as what they were
    rebuilt from. Where `older` is of another branch, upstream commits that its own changelog lists too, and no revert
    of them, are left out. Raises ValueError when `older` is the newer one.
    """
    base = Version(_unrebuilt(older))
    if Version(older) > Version(newer):
        raise ValueError(f"{older} is newer than {newer}")
    stanzas = list(_stanzas(changelog))
    start = next((place for place, stanza in enumerate(stanzas) if stanza.version == newer), None)
    if start is None:
        return Step(older=older, newer=newer, changes=(), gaps=(Gap(kind=GapKind.ABSENT, newer=newer),))
    # By place and not by version alone: 6.12.107-1~deb12u1 sorts before 6.12.107-1, which it was rebuilt from.
    history = stanzas[start:]
    taken = [stanza for stanza in history if Version(_unrebuilt(stanza.version)) > base]
    parsed = [_Body(stanza) for stanza in taken]
    descent = _descent(history, older, newer)
    known = set()
    # On one branch, a commit that is listed again was taken again.
    if descent:
        known = {change.subject for stanza in _stanzas(older_changelog) for change in _Body(stanza).changes}
    return Step(
        older=older,
        newer=newer,
        changes=tuple(change for body in parsed for change in body.changes if not _had(change, known)),
        gaps=(*descent, *_unlisted(parsed)),
    )


def still_missing(gaps: Sequence[Gap], *, exact: bool) -> tuple[Gap, ...]:
    """Those `gaps` of a Step that hold where a git tree lists the commits, those of stable updates too if `exact`."""
    return tuple(gap for gap in gaps if gap.kind not in (_CLOSED_EXACTLY if exact else _CLOSED))


def _stanzas(changelog: str) -> Iterator[_Stanza]:
    headers = list(_HEADER.finditer(changelog))
    ends = (*(header.start() for header in headers[1:]), len(changelog))
    # No headers, one end: an empty changelog.
    for header, end in zip(headers, ends, strict=False):
        body = changelog[header.end() : end]
        signed = _SIGNED.search(body) if header["source"] != "linux" else None
        yield _Stanza(version=signed[1] if signed else header["version"], suites=header["suites"], body=body)


def _had(change: Change, known: AbstractSet[str]) -> bool:
    return change.origin is Origin.UPSTREAM and change.subject in known and f'Revert "{change.subject}"' not in known


def _unrebuilt(version: str) -> str:
    return _REBUILD.sub("", version)


class _Body:
    """The changes of one stanza, and the upstream releases in it whose commits are not all listed."""

    def __init__(self, stanza: _Stanza) -> None:
        self.changes: list[Change] = []
        # "7.2", and "7.2.4": those of which none or few commits are listed.
        self.unlisted_releases: list[str] = []
        self._version = stanza.version
        self._updates: list[str] = []
        self._read(stanza.body)
        listed = {change.point_release for change in self.changes}
        # Uploads to experimental name only commits that close bugs or vulnerabilities.
        partial = "experimental" in stanza.suites
        self.unlisted_updates = [name for name in self._updates if partial or name not in listed]

    def _read(self, body: str) -> None:
        bullet: _Entry | None = None
        entry: _Entry | None = None
        for line in body.splitlines():
            if not line.strip() or line.startswith((" --", "  [ ")):
                self._finish(entry)
                bullet = entry = None
            elif found := _BULLET.fullmatch(line):
                self._finish(entry)
                bullet = entry = self._bullet(found["text"])
            elif bullet is not None and (found := _POINT_RELEASE.fullmatch(line.strip())):
                self._finish(entry if entry is not bullet else None)
                entry = bullet
                bullet.origin, bullet.point_release, bullet.has_items = Origin.UPSTREAM, found["version"], True
                self._updates.append(found["version"])
            elif bullet is not None and (found := _ITEM.fullmatch(line)):
                self._finish(entry if entry is not bullet else None)
                bullet.has_items = True
                entry = _Entry(found["text"], True, bullet.origin, bullet.point_release)
            elif entry is not None:
                entry.text += f" {line.strip()}"
        self._finish(entry)

    def _bullet(self, text: str) -> _Entry:
        if _UPDATE.match(text):
            return _Entry(text, False, Origin.UPSTREAM, None, has_items=True)
        if _RELEASE.match(text):
            named = _NEWBIES.search(text)
            release = named["version"] if named else _upstream(self._version)
            self.unlisted_releases.append(".".join(release.partition("~")[0].split(".")[:2]))
            return _Entry(text, False, Origin.UPSTREAM, release, has_items=True)
        return _Entry(text, False, Origin.DEBIAN, None)

    def _finish(self, entry: _Entry | None) -> None:
        # A bullet with items is their heading.
        if entry is None or (entry.has_items and not entry.item) or _SIGNED.fullmatch(f"  * {entry.text}"):
            return
        change = Change(
            subject=entry.text,
            origin=entry.origin,
            version=self._version,
            point_release=entry.point_release,
            cves=tuple(dict.fromkeys(_CVE.findall(entry.text))),
        )
        subject = _NOTE.sub("", entry.text)
        mark = _MARK.match(subject)
        if mark is not None:
            names = tuple(name for name in re.split(r"[ ,]+", mark["names"]) if name)
            change = replace(change, architectures=names)
            subject = subject[mark.end() :]
        self.changes.append(replace(change, subject=subject.strip()))


def _upstream(version: str) -> str:
    return version.rpartition("-")[0] or version


def _descent(history: Sequence[_Stanza], older: str, newer: str) -> list[Gap]:
    base = Version(_unrebuilt(older))
    versions = [Version(_unrebuilt(stanza.version)) for stanza in history]
    if base in versions:
        return []
    oldest = min(versions)
    if oldest > base:
        return [Gap(kind=GapKind.BEGINS, older=older, at=str(oldest))]
    fork = max(found for found in versions if found < base)
    return [Gap(kind=GapKind.FORKED, older=older, newer=newer, at=str(fork))]


def _unlisted(bodies: Sequence[_Body]) -> list[Gap]:
    releases = list(dict.fromkeys(name for body in reversed(bodies) for name in body.unlisted_releases))
    updates = list(dict.fromkeys(name for body in reversed(bodies) for name in body.unlisted_updates))
    gaps = ((GapKind.RELEASES, releases), (GapKind.UPDATES, updates))
    return [Gap(kind=kind, names=tuple(names)) for kind, names in gaps if names]
