"""``host``: the kernel that the host runs, from its ``/boot`` and ``/lib/modules``."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.kernels.assemble import Pieces
from harness.kernels.bootimage import read_boot_image
from harness.kernels.intake import IMAGE_LIMIT_BYTES
from harness.kernels.local.files import LocalSource, files_key, modules_below
from harness.kernels.source import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """There is but one."""


class HostSource(LocalSource[HostSpec]):
    """The running kernel's files."""

    name = "host"
    alone = True
    forms = "  host                              the kernel that this host runs"

    def __init__(self, around: Surroundings, *, root: Path = Path("/")) -> None:
        """`root` is where ``boot`` and ``lib/modules`` are."""
        super().__init__(around)
        self._root = root

    def parse(self, _text: str, _rest: str, /) -> HostSpec:
        """As ``KernelSource.parse``."""
        return HostSpec()

    def key(self, _spec: HostSpec, /) -> str:
        """As ``LocalSource.key``."""
        pieces = self._host()
        return files_key("HostSpec", [(pieces.vmlinuz, IMAGE_LIMIT_BYTES), *modules_below(pieces.modules)])

    def pieces(self, _spec: HostSpec, _scratch: Path, /) -> Pieces:
        """As ``LocalSource.pieces``."""
        return self._host()

    def provenance(self, _spec: HostSpec, /) -> dict[str, str]:
        """As ``LocalSource.provenance``."""
        return {}

    def _host(self) -> Pieces:
        release = platform.release()
        boot = self._root / "boot"
        folders = [self._root / "lib/modules" / release, self._root / "usr/lib/modules" / release]
        images = [boot / f"vmlinuz-{release}", *(folder / "vmlinuz" for folder in folders)]
        image = next((path for path in images if path.exists()), None)
        if image is None:
            raise ConfigError(
                f"`host`: there is no image of the kernel {release} that this host runs, neither {images[0]} nor "
                f"{images[1]}",
                remedy="Is this a container? Name another kernel, e.g. debian:6.12.",
            )
        found = read_boot_image(image)
        if found.release != release:
            raise ConfigError(f"`host`: {image} is the kernel {found.release}, but this host runs {release}")
        modules = next((folder for folder in folders if (folder / "kernel").is_dir()), None)
        config = boot / f"config-{release}"
        return Pieces(
            release=release,
            version=found.version,
            vmlinuz=image,
            architecture=found.architecture,
            modules=modules,
            config=config if os.access(config, os.R_OK) else None,
        )
