"""Revisions of git trees: built where the cache lacks them, by kbuild or by the user's builder."""

from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError
from harness.git.history import MOST_LISTED
from harness.git.repository import Repository
from harness.kernels.cache import SourceRecord, source_key
from harness.kernels.git.revisions import Revisions, as_revision, build_provenance
from harness.kernels.local.tree import tree_pieces
from harness.kernels.source import Surroundings, unknown_changes
from harness.model.history import Change, Gap, GapKind, Origin, Step
from harness.model.kernel import Kernel
from harness.model.source import GitSpec
from harness.parse.foreign import printable
from harness.parse.gitspec import parse_git


class GitSource:
    """Implements ``harness.kernels.source.KernelSource``."""

    name = "git"
    alone = False
    flavours: tuple[str, ...] = ()
    forms = """\
  git:TREE@REV[,config=FILE][,cc=clang]
                                    a revision of a kernel's git history, built when needed"""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._shelf = around.shelf
        self._revisions = Revisions(around.paths, note=around.note, progress=around.building)

    def parse(self, text: str, rest: str) -> GitSpec:
        """As ``KernelSource.parse``."""
        return parse_git(text, rest)

    def suggest(self, _text: str, /) -> str | None:
        """Nothing: a bare revision names no tree."""
        return None

    def flavour_of(self, _spec: GitSpec, /) -> None:
        """A configuration may be anything."""
        return

    def listing(self, _flavour: str | None = None, /) -> None:
        """A history is no list of kernels: a search linearises it first (``harness.history``)."""
        return

    def record(self, spec: GitSpec) -> SourceRecord | None:
        """As ``KernelSource.record``; what the user's builder would give is not known before it runs."""
        if spec.build.builder is not None:
            return None
        repository, commit = self._revisions.commit(spec)
        return self._shelf.find(source_key(*self._revisions.builder.request(repository, commit, spec.build).key))

    def show(self, spec: GitSpec, text: str) -> Kernel:
        """The kernel, where it is built. Raises ConfigError where it is not."""
        kernel = self._shelf.open(self.record(spec), text)
        if kernel is None:
            raise ConfigError(f"{text} is not built yet", remedy=f"Build it: kab build {text}")
        return as_revision(kernel, text, *self._revisions.commit(spec))

    def fetch(self, spec: GitSpec, text: str) -> Kernel:
        """As ``KernelSource.fetch``."""
        repository, commit = self._revisions.commit(spec)
        settings, builder = spec.build, self._revisions.builder
        if settings.builder is not None:
            given = self._revisions.external(settings.builder, repository, commit)
            kernel = self._around.resolve(given)
            told = replace(kernel, provenance={**kernel.provenance, "builder": str(settings.builder), "given": given})
            return as_revision(told, text, repository, commit)
        request = builder.request(repository, commit, settings)
        key = source_key(*request.key)
        found = self._shelf.sound(self._shelf.find(key), text)
        if found is not None:
            return as_revision(found, text, repository, commit)
        with self._shelf.adding(key, text) as place:
            made = place.found
            if made is None:
                self._around.note(
                    f"building {commit.short} {printable(commit.title)} ({settings.config}, {request.compiler.name})"
                )
                with builder.build(repository, request) as built:
                    pieces = tree_pieces(built.objects, place.scratch)
                    if not built.has_modules:
                        pieces = replace(pieces, modules=None)
                    provenance = build_provenance(request, settings, built.command)
                    made = place.add(pieces, version=pieces.version, source=self.name, provenance=provenance)
            return as_revision(made, text, repository, commit)

    def changes(self, older: Kernel, newer: Kernel) -> Step:
        """The commits of `newer` that `older` does not contain, newest first, where both are of one tree."""
        tree, first, last = newer.provenance["tree"], older.provenance.get("commit", ""), newer.provenance["commit"]
        if not first or older.provenance.get("tree") != tree:
            return unknown_changes(older, newer)
        repository = Repository.open(Path(tree), self._around.paths.git)
        found = repository.subjects(first, last, ())
        changes = tuple(
            Change(subject=subject, origin=Origin.UPSTREAM, version=newer.version, commit=sha) for sha, subject in found
        )
        gaps = (Gap(kind=GapKind.NEWEST, at=str(MOST_LISTED)),) if len(found) == MOST_LISTED else ()
        return Step(older=older.version, newer=newer.version, changes=changes, gaps=gaps)
