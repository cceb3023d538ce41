"""Kernels from source by kbuild: one work tree and one object tree per repository, base configuration and compiler."""

import hashlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import BuildError, ConfigError, HostError, NoKernelError
from harness.git.repository import Repository
from harness.host import locks, process
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.host.probes import BUILD_TOOLS
from harness.kbuild.compiler import Compiler, choose_compiler
from harness.kbuild.configure import LINE_CHARS, KconfigError, configure, failure_of
from harness.kbuild.folder import BuildFolder, cannot_write, folder_lock
from harness.kbuild.make import BUILT, Make, find_ccache
from harness.kbuild.recipe import Recipe, read_recipe
from harness.model.source import BuildSettings, Commit
from harness.parse.foreign import printable
from harness.parse.fragment import config_values, tree_version

_LOCK_TIMEOUT_S = 7200.0
# Raise when the same recipe, tree and compiler give another image.
_SCHEME = "1"
_KCONFIG_INPUT = (
    "Kconfig",
    "scripts/Kconfig",
    "kernel/configs/",
    f"{BUILT.kbuild_folder}/configs/",
    "scripts/kconfig/",
    "Makefile",
)
_IMAGE = Path(BUILT.kbuild_image)

# Told (what is built, files made so far, files of the last whole build or 0, the last file).
BuildProgress = Callable[[str, int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """All that decides what comes out of a build."""

    commit: Commit
    # Of the tree's own Makefile; None where it tells none.
    version: tuple[int, int, int] | None
    recipe: Recipe
    compiler: Compiler
    # The name of the build folder.
    folder: str

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this kernel from all others: commits with one tree are one kernel."""
        return ("git", _SCHEME, self.commit.tree, self.recipe.digest, self.compiler.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished build, whose files lie in the build folder."""

    # kbuild's output folder, with the image, System.map and .config.
    objects: Path
    log: Path
    # The command that makes the same image from the same sources.
    command: str
    has_modules: bool


class Builder:
    """Builds revisions of git repositories. Builds in one folder take turns, also between processes."""

    def __init__(
        self,
        paths: Paths,
        *,
        note: Callable[[str], None] = lambda _sentence: None,
        progress: BuildProgress = lambda _name, _done, _total, _file: None,
    ) -> None:
        """Nothing is looked at, or written, before a build is asked for."""
        self._paths = paths
        self._note = note
        self._progress = progress

    def request(self, repository: Repository, commit: Commit, settings: BuildSettings) -> BuildRequest:
        """What building `commit` means.

        Raises NoKernelError for a tree that is none, ConfigError (configuration, compiler), HostError (no compiler).
        """
        recipe = read_recipe(settings)
        version = tree_version(repository.text(commit.sha, "Makefile") or "")
        if version is None and repository.text(commit.sha, f"{BUILT.kbuild_folder}/Kconfig") is None:
            raise NoKernelError(
                f"{printable(str(repository.tree))} holds no Linux at {commit.short} ({printable(commit.title)}): its "
                "Makefile tells no version",
                remedy="Name the top of a clone of Linux, and a revision of it; or builder=FILE.",
            )
        compiler = choose_compiler(settings.compiler, version)
        ccache = "ccache" if find_ccache(self._paths.cache) else ""
        parts = (repository.name, recipe.base_digest, compiler.name, compiler.identity, ccache, _SCHEME)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
        name = f"{repository.name.rpartition('-')[0]}-{Path(recipe.name).name}-{Path(compiler.name).name}-{digest}"
        return BuildRequest(commit=commit, version=version, recipe=recipe, compiler=compiler, folder=name)

    @contextmanager
    def build(self, repository: Repository, request: BuildRequest) -> Iterator[Built]:
        """Build, and keep the build folder for the length of the context.

        Raises BuildError with the first error and the whole output, ConfigError (a wanted option is lost), HostError
        (disk, memory, tools).
        """
        with self._folder(request) as make:
            with _writing(make.folder):
                repository.checkout(make.folder.source, request.commit.sha)
                config = self._configure(repository, request, make)
                targets = self._make(request, make, config)
            yield Built(
                objects=make.folder.objects,
                log=make.folder.log,
                command=_command(make, targets),
                has_modules="modules" in targets,
            )

    def resolve(self, repository: Repository, request: BuildRequest, texts: Sequence[str]) -> list[str]:
        """What kconfig makes of each of the configurations `texts` in the place of the request's; nothing is built.

        Raises as ``build``.
        """
        with self._folder(request) as make, _writing(make.folder):
            repository.checkout(make.folder.source, request.commit.sha)
            resolved = []
            for text in texts:
                try:
                    resolved.append(configure(make, replace(request.recipe, base=text)))
                except KconfigError as error:
                    raise self._failed(request, make.folder, f"make {error}") from error
            make.folder.end()
            return resolved

    @contextmanager
    def _folder(self, request: BuildRequest) -> Iterator[Make]:
        """How make is called in the build folder of a request, which nobody else uses meanwhile."""
        _check_tools()
        folder = BuildFolder(self._paths.builds / request.folder)
        lock_file = folder_lock(self._paths.builds, request.folder)
        what = f"building in {folder.path}"
        with (
            locks.lock(lock_file, what=what, timeout_s=_LOCK_TIMEOUT_S, waiting=self._note) as held,
            Lease(self._paths) as lease,
        ):
            held.touch()
            ccache = find_ccache(self._paths.cache)
            yield Make(folder=folder, compiler=request.compiler, ccache=ccache, lease=lease)

    def _configure(self, repository: Repository, request: BuildRequest, make: Make) -> str:
        """The .config in the object tree; written only where it changes, for its time decides what is made anew."""
        folder = make.folder
        target = folder.objects / ".config"
        key = _configuration_key(repository, request)
        if folder.read("configured") == key and target.is_file():
            return target.read_text()
        (folder.path / "configured").unlink(missing_ok=True)
        try:
            text = configure(make, request.recipe)
        except KconfigError as error:
            raise self._failed(request, folder, f"make {error}") from error
        if not target.is_file() or target.read_text() != text:
            target.write_text(text)
        (folder.path / "configured").write_text(key)
        return text

    def _make(self, request: BuildRequest, make: Make, config: str) -> tuple[str, ...]:
        folder = make.folder
        image = (BUILT.kbuild_target,)
        targets = (*image, "modules") if config_values(config).get("MODULES") == "y" else image
        first = not (folder.objects / _IMAGE).exists()
        total = int(folder.read("steps") or 0) if first else 0
        name = f"{request.commit.short} {printable(request.commit.title)}"
        steps = 0

        def on_step(count: int, file: str) -> None:
            nonlocal steps
            steps = count
            self._progress(name, count, total, printable(file, limit=LINE_CHARS))

        status = make.run(targets, output=folder.objects, on_step=on_step)
        if status != 0 or not (folder.objects / _IMAGE).is_file():
            raise self._failed(request, folder, f"make {' '.join(targets)}")
        if first:
            (folder.path / "steps").write_text(str(steps))
            folder.note_size()
        folder.end()
        return targets

    def _failed(self, request: BuildRequest, folder: BuildFolder, what: str) -> BuildError | HostError:
        log = folder.log.read_text(errors="replace")
        line, trouble = failure_of(log, folder.path)
        if trouble is not None:
            # What it wrote may be cut short: the folder stays marked.
            return trouble
        folder.end()
        commit = request.commit
        # As in the tree, wherever that lies.
        line = line.replace(f"{folder.source}/", "").replace("../source/", "")
        return BuildError(
            f"{commit.short} (`{printable(commit.title)}`) does not build with {request.compiler.name}: "
            f"{printable(line, limit=LINE_CHARS)}",
            remedy=f"The whole output of `{what}`: {folder.log}",
            log=log,
        )


@contextmanager
def _writing(folder: BuildFolder) -> Iterator[None]:
    """While a build folder is being written: it is marked until its ``end``. Raises HostError for its OSErrors."""
    folder.begin()
    try:
        folder.log.write_bytes(b"")
        yield
    except ConfigError:
        # Of kconfig's own files nothing is half-written.
        folder.end()
        raise
    except OSError as error:
        raise cannot_write(folder.path, error) from error


def _check_tools() -> None:
    for tool in BUILD_TOOLS:
        if process.find_tool(tool) is None:
            raise process.missing_tool(tool)


def _configuration_key(repository: Repository, request: BuildRequest) -> str:
    """Names all that the .config follows from: the recipe, the compiler, and kconfig's files in this tree."""
    whole = hashlib.sha256(f"{request.recipe.digest} {request.compiler.identity}".encode())
    for blob, path in repository.files(request.commit.sha):
        if path.rpartition("/")[2].startswith("Kconfig") or path.startswith(_KCONFIG_INPUT):
            whole.update(f"{blob} {path}\n".encode())
    return whole.hexdigest()


def _command(make: Make, targets: tuple[str, ...]) -> str:
    variables = {name: value for name, value in make.environment().items() if name.startswith(("KBUILD_", "SOURCE_"))}
    words = [f"{name}={value}" for name, value in variables.items()]
    return shlex.join([*words, *make.arguments(make.folder.objects), *targets])
