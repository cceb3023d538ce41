"""Kernels from git histories: from a spec to a commit, and what is told of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError
from harness.git.repository import Repository
from harness.host.paths import Paths
from harness.kbuild.builder import Builder, BuildProgress, BuildRequest
from harness.kbuild.external import run_builder
from harness.model.kernel import Kernel
from harness.model.source import BuildSettings, Commit, GitSpec
from harness.parse.foreign import printable


class Revisions:
    """Opens repositories, and says what building one of their commits means."""

    def __init__(self, paths: Paths, *, note: Callable[[str], None], progress: BuildProgress) -> None:
        """Nothing is looked at before a spec is."""
        self._paths = paths
        self._note = note
        self.builder = Builder(paths, note=note, progress=progress)
        self._repositories: dict[Path, Repository] = {}
        # (builder, tree) -> the spec that the builder gave.
        self._given: dict[tuple[Path, str], str] = {}

    def commit(self, spec: GitSpec) -> tuple[Repository, Commit]:
        """The commit of a spec, its operations done. Raises ConfigError, DoesNotApplyError, HostError."""
        repository = self._repositories.get(spec.tree)
        if repository is None:
            repository = self._repositories[spec.tree] = Repository.open(spec.tree, self._paths.git)
        sha = repository.derive(repository.resolve(spec.revision), spec.operations)
        return repository, repository.commit(sha)

    def external(self, program: Path, repository: Repository, commit: Commit) -> str:
        """The spec that the user's builder gives for a commit. Raises BuildError, ConfigError, HostError."""
        known = (program, commit.tree)
        if known not in self._given:
            self._note(f"running {program} on {commit.short} {printable(commit.title)}")
            given = run_builder(program, repository, commit, self._paths, note=self._note)
            if given.startswith("git:"):
                raise ConfigError(
                    f"the builder {program} names a git revision: {given}",
                    remedy="It must name a kernel that is there: tree:DIR, file:BZIMAGE, deb:FILE or debian:VERSION.",
                )
            self._given[known] = given
        return self._given[known]

    def resolved_configs(self, spec: GitSpec, texts: Sequence[str]) -> list[str]:
        """What kconfig makes of each configuration in the tree of `spec`, below its fragments; nothing is built.

        Raises ConfigError, HostError, BuildError, DoesNotApplyError.
        """
        repository, commit = self.commit(spec)
        request = self.builder.request(repository, commit, spec.build)
        self._note(f"resolving {len(texts)} configurations in {commit.short} {printable(commit.title)}")
        return self.builder.resolve(repository, request, texts)


def build_provenance(request: BuildRequest, settings: BuildSettings, command: str) -> dict[str, str]:
    """What is kept of a build: the same for all commits with this tree."""
    return {
        "tree_hash": request.commit.tree,
        "config": " + ".join((settings.config, *(str(path) for path in settings.fragments))),
        "compiler": request.compiler.identity,
        "command": command,
    }


def as_revision(kernel: Kernel, spec: str, repository: Repository, commit: Commit) -> Kernel:
    """The kernel as that of this commit: one with an equal tree may have built it."""
    base = kernel.release.partition("-")[0]
    return replace(
        kernel,
        spec=spec,
        source="git",
        # Versions sort by release, then by date.
        version=f"{base}+{commit.date[:10].replace('-', '')}.g{commit.short}",
        provenance={
            **kernel.provenance,
            "describe": f"{base}-g{commit.short}",
            "tree": str(repository.tree),
            "commit": commit.sha,
            "title": commit.title,
        },
    )
