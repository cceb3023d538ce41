"""The cache of guest roots: one folder per recipe digest, complete or not there."""

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex

from harness.debian.aptsources import find_mirrors
from harness.errors import HostError
from harness.host.architecture import host_architecture
from harness.host.files import write_atomically
from harness.host.integrity import damaged_files, file_digests, sealed, unsealed
from harness.host.locks import lock
from harness.host.paths import Paths
from harness.images.build import BUSYBOX_FILE, PACKAGES_FILE, ROOT_FILE, build_root, image_digest
from harness.images.recipe import Recipe, load_recipe
from harness.model.arch import BY_NAME, X86_64, Architecture
from harness.model.guest import Image

_log = logging.getLogger(__name__)

_INFO_FILE = "image.json"
_FILES = (ROOT_FILE, BUSYBOX_FILE)
_BUILDING = "building"
_LOCK_TIMEOUT_S = 1800.0


class ImageStore:
    """Guest root images of an architecture in the cache; safe under two processes at once."""

    def __init__(
        self,
        paths: Paths,
        *,
        recipe: Recipe | None = None,
        architecture: Architecture | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`recipe`: the one that kab ships unless given; `architecture`: that of this host.

        `environment`: variables that name Debian's mirrors.
        """
        self._folder = paths.images
        self._environment = environment
        self.architecture = architecture or host_architecture()
        self.recipe = load_recipe() if recipe is None else recipe

    @property
    def recipe_digest(self) -> str:
        """Names the image of the recipe as it is now."""
        return image_digest(self.recipe, self.architecture)

    def ensure(self, progress: Callable[[str], None] | None = None) -> Image:
        """The image of the recipe, built where missing or damaged; `progress` is told in a sentence what takes time.

        All its content is read. Raises HostError.
        """
        tell = progress or (lambda message: _log.info("%s", message))
        digest = self.recipe_digest
        image = self._read(self._folder / digest)
        if image is not None and not self.damage(image):
            return image
        with lock(self._folder / "lock", what="building the guest image", timeout_s=_LOCK_TIMEOUT_S, waiting=tell):
            image = self._read(self._folder / digest)
            damaged = self.damage(image) if image is not None else ()
            if damaged:
                tell(f"the cached guest image is damaged ({', '.join(damaged)})")
            if image is None or damaged:
                kind = "" if self.architecture == host_architecture() else f", {self.architecture}"
                tell(f"building the guest image (Debian {self.recipe.suite}{kind}); once, about a minute")
                image = self._build(digest)
        return image

    def all(self) -> list[Image]:
        """Every complete image, of this and of other versions of the recipe, of any architecture, by name."""
        found = (self._read(path) for path in self._folder.glob("*") if path.is_dir())
        return sorted((image for image in found if image is not None), key=lambda image: image.name)

    def outdated(self) -> list[Image]:
        """Images of other recipes than the one there is now."""
        return [image for image in self.all() if not self.is_current(image)]

    def is_current(self, image: Image) -> bool:
        """Whether an image is that of the recipe as it is now, for whichever architecture."""
        return image.recipe_digest == image_digest(self.recipe, image.architecture)

    def remove(self, image: Image) -> None:
        """Remove an image that no guest uses any more. Raises HostError."""
        with lock(self._folder / "lock", what="building the guest image", timeout_s=_LOCK_TIMEOUT_S):
            _remove(image.path.parent)

    def damage(self, image: Image) -> tuple[str, ...]:
        """The files of an image whose content is not what was built. All of it is read. Raises HostError."""
        folder = image.path.parent
        try:
            info = unsealed((folder / _INFO_FILE).read_bytes())
            digests = info.get("sha256")
            if digests is not None:
                return damaged_files(folder, digests)
            # Built before hashes were kept: from here on they are.
            with contextlib.suppress(HostError):
                write_atomically(folder / _INFO_FILE, sealed({**info, "sha256": file_digests(folder, _FILES)}))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            _log.info("cannot read %s: %s", folder / _INFO_FILE, error)
            return (_INFO_FILE,)
        return ()

    def _build(self, digest: str) -> Image:
        # The lock is held: what is there was left by a process that died.
        for stale in self._folder.glob(f"{_BUILDING}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        # Never the same folder twice: the mmdebstrap of a killed process may go on for a while.
        building = self._folder / f"{_BUILDING}-{token_hex(4)}"
        try:
            building.mkdir(parents=True)
            build_root(self.recipe, building, find_mirrors(environment=self._environment), self.architecture)
            root = building / ROOT_FILE
            # Left out for x86-64, as it was when there was no other.
            kind = [] if self.architecture == X86_64 else [self.architecture.name]
            info = {
                "name": "-".join((self.recipe.name, self.recipe.suite, *kind, digest[:12])),
                **({"architecture": kind[0]} if kind else {}),
                "recipe_digest": digest,
                "size_bytes": root.stat().st_size,
                "packages": sorted((building / PACKAGES_FILE).read_text().split()),
                "sha256": file_digests(building, _FILES),
            }
            (building / PACKAGES_FILE).unlink()
            root.chmod(0o444)
            (building / BUSYBOX_FILE).chmod(0o555)
            write_atomically(building / _INFO_FILE, sealed(info))
            _remove(self._folder / digest)
            building.rename(self._folder / digest)
        except OSError as error:
            raise HostError(f"cannot build the guest image in {building}: {error}") from error
        finally:
            _remove(building)
        image = self._read(self._folder / digest)
        if image is None:
            raise HostError(f"the guest image {self._folder / digest} is damaged", remedy="Remove that folder.")
        return image

    def _read(self, path: Path) -> Image | None:
        """The image in the folder `path`, or None when it is not complete."""
        root = path / ROOT_FILE
        try:
            info = unsealed((path / _INFO_FILE).read_bytes())
            image = Image(
                name=info["name"],
                recipe_digest=info["recipe_digest"],
                path=root,
                size_bytes=info["size_bytes"],
                packages=tuple(info["packages"]),
                architecture=BY_NAME[info.get("architecture", X86_64.name)],
            )
            whole = root.stat().st_size == image.size_bytes and busybox_of(image).is_file()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return image if whole else None


def busybox_of(image: Image) -> Path:
    """The static busybox that an initramfs for this image is made with."""
    return image.path.parent / BUSYBOX_FILE


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        try:
            shutil.rmtree(path)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise HostError(f"cannot remove {path}: {error.strerror}") from error
