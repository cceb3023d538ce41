"""Recipe of a guest root: what images/NAME/ says."""

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostError
from harness.resources import folder

DEFAULT_RECIPE = "debian"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A folder with ``suite``, ``packages.txt``, ``strip.txt``, ``init``, ``modules.sh`` and the files of ``root/``."""

    name: str
    directory: Path
    # Debian suite of the guest's root.
    suite: str
    packages: tuple[str, ...]
    # Shell patterns relative to the root, removed from it.
    strip: tuple[str, ...]

    @property
    def root(self) -> Path:
        """Files that are copied over the root."""
        return self.directory / "root"

    def read(self, name: str) -> bytes:
        """A file of the recipe. Raises HostError."""
        path = self.directory / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise HostError(
                f"cannot read {path} of the recipe {self.name}: {error.strerror}", remedy="Install kab again."
            ) from error

    def digest(self, builder_version: int, variant: str = "") -> str:
        """What names an image of this recipe: a hash of all that goes into it but the packages' versions.

        `variant` says for which architecture and how it is built; it is empty for the usual one.
        """
        digest = hashlib.sha256(f"{self.name} {builder_version} {self.suite}\n".encode())
        if variant:
            digest.update(f"{variant}\n".encode())
        digest.update("\n".join(("packages", *self.packages, "strip", *self.strip)).encode())
        for path in self._files():
            executable = path.stat().st_mode & stat.S_IXUSR != 0
            name = path.relative_to(self.directory).as_posix()
            content = hashlib.sha256(self.read(name)).hexdigest()
            digest.update(f"\n{name} {executable} {content}".encode())
        return digest.hexdigest()

    def _files(self) -> Iterator[Path]:
        return (path for path in sorted(self.root.rglob("*")) if path.is_file())


def load_recipe(name: str = DEFAULT_RECIPE) -> Recipe:
    """The recipe `name` that kab ships. Raises HostError."""
    return read_recipe(folder("images") / name)


def read_recipe(directory: Path) -> Recipe:
    """The recipe in `directory`. Raises HostError."""
    bare = Recipe(name=directory.name, directory=directory, suite="", packages=(), strip=())
    suite = _words(bare.read("suite"))
    packages = _words(bare.read("packages.txt"))
    if len(suite) != 1 or not packages:
        raise HostError(f"the recipe {directory} must name one suite and at least one package")
    return Recipe(
        name=directory.name,
        directory=directory,
        suite=suite[0],
        packages=packages,
        strip=_words(bare.read("strip.txt")),
    )


def _words(content: bytes) -> tuple[str, ...]:
    """Lines without comments and blanks."""
    lines = (line.partition("#")[0].strip() for line in content.decode().splitlines())
    return tuple(line for line in lines if line)
