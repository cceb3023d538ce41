"""Releases in a clone of Linux, and the commits between two of them: what package changelogs leave out."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import ConfigError
from harness.git.history import MOST_LISTED
from harness.git.repository import Repository
from harness.model.history import Change, Origin, TreeListing
from harness.parse.tags import release_tag, tag_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What stands for a package's version in a clone."""

    tag: str
    sha: str
    # The tag that the clone lacks, where that of the mainline release stands for it; else empty.
    wanted: str = ""


def find_release(repository: Repository, version: str) -> Release:
    """The tag of a package's version, or of the release that it is a stable update of. Raises ConfigError for none."""
    tag = tag_of(version)
    base = release_tag(tag)
    if (sha := repository.tagged(tag)) is not None:
        return Release(tag=tag, sha=sha)
    if base is not None and (sha := repository.tagged(base)) is not None:
        return Release(tag=base, sha=sha, wanted=tag)
    lacks = f"tag {tag}" if base is None else f"tag {tag} or {base}"
    raise ConfigError(
        f"{repository.tree} has no {lacks}", remedy=f"Is it a clone of Linux? Fetch its tags: {repository.fetch_tags}"
    )


def list_commits(
    repository: Repository, older: str, newer: str, paths: Sequence[str]
) -> tuple[TreeListing, tuple[Change, ...]]:
    """The commits from package version `older` to `newer` that touch `paths`, newest first, without merges.

    Commits whose subject `older` has, too, came to both by stable updates and are left out. The listing has no suspects
    yet. Raises ConfigError (no such release, what a clone lacks), HostError.
    """
    old, new = (find_release(repository, version) for version in (older, newer))
    found = repository.subjects(old.sha, new.sha, paths)
    notes = [stand_in_note(repository, release) for release in (old, new) if release.wanted]
    if len(found) == MOST_LISTED:
        notes.append(f"Only the newest {MOST_LISTED} commits of {old.tag}..{new.tag} were looked at.")
    listed = {subject for _, subject in found}
    had = {subject for _, subject in repository.subjects(new.sha, old.sha, paths)}
    if had - listed:
        notes.append(
            f"Commits of {old.tag} there that {new.tag} lacks (stable branches fork), not listed: {len(had - listed)}."
        )
    changes = tuple(
        Change(subject=subject, origin=Origin.UPSTREAM, version=newer, commit=sha)
        for sha, subject in found
        if subject not in had or f'Revert "{subject}"' in had
    )
    listing = TreeListing(
        tree=str(repository.tree),
        older=old.tag,
        newer=new.tag,
        exact=not old.wanted and not new.wanted,
        paths=tuple(paths),
        commits=len(changes),
        notes=tuple(notes),
    )
    return listing, changes


def stand_in_note(repository: Repository, release: Release) -> str:
    """That the tag of a mainline release stands for that of a stable update, and how to get that."""
    return (
        f"{repository.tree} has no tag {release.wanted}: {release.tag} stands for it; fetch the tags of the stable "
        "tree to have what its updates took."
    )
