"""``file:BZIMAGE[,modules=DIR]``: a kernel image, and its modules where it needs any."""

from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.kernels.assemble import Pieces
from harness.kernels.bootimage import read_boot_image
from harness.kernels.intake import IMAGE_LIMIT_BYTES, confine
from harness.kernels.local.files import LocalSource, expanded, files_key, modules_below
from harness.parse.foreign import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpec:
    """`modules` is a ``lib/modules/RELEASE`` folder, or one that holds it."""

    bzimage: Path
    modules: Path | None = None


class FileSource(LocalSource[FileSpec]):
    """Images, whoever made them."""

    name = "file"
    forms = "  file:BZIMAGE[,modules=DIR]        a kernel image and its lib/modules/RELEASE folder"

    def parse(self, text: str, rest: str, /) -> FileSpec:
        """As ``KernelSource.parse``."""
        image, *options = rest.split(",")
        modules: Path | None = None
        for option in options:
            key, equals, value = option.partition("=")
            if key != "modules" or not equals or not value or modules is not None:
                raise ConfigError(f"`{text}`: cannot read `{option}`", remedy="Write file:BZIMAGE[,modules=DIR].")
            modules = Path(value)
        if not image:
            raise ConfigError(f"`{text}` names no kernel image", remedy="Write file:BZIMAGE[,modules=DIR].")
        return FileSpec(bzimage=Path(image), modules=modules)

    def suggest(self, text: str, /) -> str | None:
        """As ``KernelSource.suggest``."""
        return f"Did you mean `file:{text}`?" if is_image_name(text) else None

    def key(self, spec: FileSpec, /) -> str:
        """As ``LocalSource.key``."""
        # A folder without any module is not the same as no folder.
        named = [] if spec.modules is None else [str(expanded(spec.modules))]
        return files_key("FileSpec", [(spec.bzimage, IMAGE_LIMIT_BYTES), *modules_below(spec.modules)], *named)

    def pieces(self, spec: FileSpec, _scratch: Path, /) -> Pieces:
        """As ``LocalSource.pieces``."""
        return _file(expanded(spec.bzimage), None if spec.modules is None else expanded(spec.modules))

    def provenance(self, spec: FileSpec, /) -> dict[str, str]:
        """As ``LocalSource.provenance``."""
        folder = {} if spec.modules is None else {"modules": str(spec.modules)}
        return {"image": str(spec.bzimage), **folder}


def is_image_name(text: str) -> bool:
    """Whether a text is the name that kernel images have."""
    return "bzImage" in text or "vmlinuz" in text


def _file(image: Path, modules: Path | None) -> Pieces:
    header = read_boot_image(image)
    release = header.release
    if modules is None:
        return Pieces(release=release, version=header.version, vmlinuz=image, architecture=header.architecture)
    # People name the folder itself, or the root of an installation (INSTALL_MOD_PATH).
    for folder in (modules, modules / release, modules / "lib/modules" / release):
        if folder.name == release and (folder / "kernel").is_dir():
            found = confine(folder, modules)
            return Pieces(
                release=release,
                version=header.version,
                vmlinuz=image,
                architecture=header.architecture,
                modules=found,
            )
    raise ConfigError(
        f"{printable(str(modules))} does not hold the modules of {printable(str(image))}, the kernel {release}",
        remedy=f"Name the folder lib/modules/{release} that belongs to it.",
    )
