"""Which mails of a thread, a folder or a mailbox are the series, and in which order.

A mailbox keeps the order in which mails arrived, and all that was said; ``[PATCH vN i/n]`` says what is meant.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import ConfigError
from harness.parse.foreign import printable
from harness.parse.patchmail import NoPatch, Patch, Tag, Why

_NAMED = 5
_PLURALS = {
    Why.COVER: "cover letters",
    Why.REPLY: "replies",
    Why.NO_DIFF: "mails without a diff",
    Why.NO_MAIL: "other files",
}
_VERSION = re.compile(r"v?([0-9]{1,4}(?:\.[0-9]{1,4})?)")
# <id@host>, and the address of a mail in an archive of public-inbox (lore).
_MESSAGE_ID = re.compile(r"<?([^\s<>/@-][^\s<>/@]*@[^\s<>/@]+)>?")
_ARCHIVED = re.compile(r"https?://[^\s/]+/(?:[^\s/]+/)?([^\s/@-][^\s/@]*(?:@|%40)[^\s/@]+)(?:/.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The patches in the order in which they are applied, and what to say about the choice."""

    patches: tuple[Patch, ...]
    notes: tuple[str, ...] = ()


def counted_as_people_do(name: str) -> tuple[tuple[str, int, str], ...]:
    """A key to sort file names by: 2 before 10, 02 beside 2."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name)
    # Longer numbers without zeros are larger; no number is too large.
    return tuple((text, len(digits.lstrip("0")), digits.lstrip("0")) for text, digits in parts)


def parse_version(text: str) -> tuple[int, ...]:
    """``2`` or ``v2`` or ``2.1`` of --series-version. Raises ConfigError."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ConfigError(f"`{printable(text)}` is no version of a series", remedy="Write 2 for [PATCH v2 1/4].")
    return tuple(map(int, found[1].split(".")))


def message_id(text: str) -> str | None:
    """The Message-ID that `text` is, or that the address of a mail in an archive names; None where it is neither."""
    if found := _MESSAGE_ID.fullmatch(text):
        return found[1]
    if found := _ARCHIVED.fullmatch(text):
        return found[1].replace("%40", "@")
    return None


def choose(source: str, read: Sequence[Patch | NoPatch], version: tuple[int, ...] | None = None) -> Series:
    """The series among what was read of `source`: of its newest version, or of `version`.

    By number where patches have one, else in the order given. Raises ConfigError where there is no patch or no such
    version, a number is missing or there twice, or the place of a patch is not known.
    """
    source = printable(source)
    patches = [one for one in read if isinstance(one, Patch)]
    left = [one for one in read if isinstance(one, NoPatch)]
    if not patches:
        found = _left_out(left)
        raise ConfigError(
            f"{source} holds no patches" + (f", only {found}" if found else ""),
            remedy="See `git format-patch`, or a quilt folder's `series`.",
        )
    # A version may have come with mangled mails only: the one before it is not the newest for that.
    tags = [one.tag for one in patches if one.tag] + [one.tag for one in left if one.tag and _meant(one)]
    versions = sorted({tag.version for tag in tags})
    wanted = _wanted(source, versions, version)
    chosen = [one for one in patches if one.tag is None or one.tag.version == wanted]
    notes = []
    if len(versions) > 1 and wanted is not None:
        others = ", ".join(_said(other) for other in versions if other != wanted)
        notes.append(f"{source}: {_said(wanted)} of the series is used, not {others} (--series-version chooses)")
    if left:
        notes.append(f"{source}: left out {_left_out(left)}")
    return Series(patches=_ordered(source, chosen, left, wanted), notes=tuple(notes))


def _meant(one: NoPatch) -> bool:
    return one.why is not Why.REPLY and one.tag is not None and one.tag.number is not None


def _wanted(
    source: str, versions: Sequence[tuple[int, ...]], version: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    if version is None:
        return versions[-1] if versions else None
    if version not in versions:
        there = ", ".join(map(_said, versions)) or "no versions"
        raise ConfigError(
            f"{source} holds no {_said(version)} of the series", remedy=f"It holds {there}: choose one of them."
        )
    return version


def _ordered(
    source: str, patches: Sequence[Patch], left: Sequence[NoPatch], version: tuple[int, ...] | None
) -> tuple[Patch, ...]:
    numbered = [(one.tag, one) for one in patches if one.tag is not None and one.tag.number is not None]
    without = [one for one in patches if one.tag is None or one.tag.number is None]
    here = [one for one in left if _meant(one) and one.tag is not None and one.tag.version == version]
    announced = [one.tag for one in here if one.tag is not None]
    if not numbered and not announced:
        return tuple(patches)
    of = sorted({tag.total for tag in (*(tag for tag, _ in numbered), *announced) if tag.total is not None})
    if len(of) > 1:
        raise ConfigError(
            f"{source} holds patches of several series ({', '.join(f'of {total}' for total in of)})",
            remedy="Name one series; or list the patches, in order, in a file `series` of the folder.",
        )
    if not numbered and len(without) == 1 and of == [1]:
        # "[PATCH 0/1]" over a patch without a number.
        return tuple(without)
    if without:
        raise ConfigError(
            f"{source}: {_names(without)} has no number among patches that have one, so its place is not known",
            remedy="Take it out; or list the patches, in order, in a file `series` of the folder.",
        )
    by_number = _unique(source, numbered)
    # "[PATCH 5/4]" is an afterthought.
    last = max([*of, *by_number])
    missing = [number for number in range(1, last + 1) if number not in by_number]
    if missing:
        raise _lacks(source, missing, of[-1], here, version)
    return tuple(by_number[number] for number in range(1, last + 1))


def _unique(source: str, numbered: Sequence[tuple[Tag, Patch]]) -> dict[int, Patch]:
    """Patches by number. The same patch may be there twice (lists send copies), two patches may not."""
    found: dict[int, Patch] = {}
    for tag, patch in numbered:
        assert tag.number is not None, "see _ordered"
        other = found.setdefault(tag.number, patch)
        if other.diff != patch.diff:
            raise ConfigError(
                f"{source} holds two patches {tag.number}/{tag.total} of {tag.version_text}: {_names([other, patch])}",
                remedy="Take out the one that does not count.",
            )
    return found


def _lacks(
    source: str, missing: Sequence[int], total: int, here: Sequence[NoPatch], version: tuple[int, ...] | None
) -> ConfigError:
    which = ", ".join(f"{number}/{total}" for number in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    empty = [one for one in here if one.tag is not None and one.tag.number in missing]
    why = f"; without a diff: {_names(empty)}" if empty else ""
    of = f" of {_said(version)}" if version is not None else ""
    return ConfigError(
        f"{source} lacks the patch {which}{more}{of} of the series{why}",
        remedy="Get it too; --series-version chooses another version. In a folder, a file `series` says what counts.",
    )


def _left_out(left: Sequence[NoPatch]) -> str:
    """``1 cover letter, 3 replies``."""
    counts = ((why, sum(one.why is why for one in left)) for why in Why)
    return ", ".join(f"{count} {why if count == 1 else _PLURALS[why]}" for why, count in counts if count)


def _names(mails: Sequence[Patch | NoPatch]) -> str:
    more = f" and {len(mails) - _NAMED} more" if len(mails) > _NAMED else ""
    return ", ".join(printable(one.name, limit=200) for one in mails[:_NAMED]) + more


def _said(version: tuple[int, ...]) -> str:
    return Tag(version=version).version_text
