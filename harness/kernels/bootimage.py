"""Boot images of any architecture that kab knows: which one it is, what it says of itself, and how QEMU enters it."""

from pathlib import Path

from harness.errors import ConfigError
from harness.host.regular import regular
from harness.kernels import arm64image, bzimage
from harness.kernels.banner import BootImage
from harness.kernels.intake import IMAGE_LIMIT_BYTES
from harness.parse.foreign import printable

# 64 sectors are the most that the setup code of a bzImage may take; its version string lies inside.
_HEAD_BYTES = 65 * 512


def read_boot_image(path: Path) -> BootImage:
    """What the boot image at `path` says of itself.

    Raises ConfigError when it is none, not one of an architecture that kab knows, or cut short.
    """
    name = printable(str(path))
    status = regular(path, limit_bytes=IMAGE_LIMIT_BYTES)
    try:
        head = _head(path)
        if arm64image.is_arm64(head):
            return arm64image.parse_arm64_image(path, head, name=name, size_bytes=status.st_size)
    except PermissionError as error:
        raise ConfigError(
            f"no permission to read the kernel {path}", remedy=f"Let this user read it: sudo chmod a+r {path}"
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot read the kernel {path}: {error.strerror}") from error
    return bzimage.parse_boot_image(head, name=name, size_bytes=status.st_size)


def unpack_boot_image(image: Path, out: Path, *, name: str) -> bool:
    """Write what is packed inside `image` to `out` where QEMU can enter that directly; False, and nothing, else.

    `name` is for messages. Raises ConfigError where what is packed inside is damaged, OSError.
    """
    if arm64image.is_arm64(_head(image)):
        return arm64image.unpack_arm64_image(image, out, name=name)
    return bzimage.uncompressed(image, out, name=name)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
