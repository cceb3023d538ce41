"""``deb:FILE[,FILE...]``: kernel packages on the local disk."""

from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.kernels.assemble import Pieces, find_pieces, unpack_packages
from harness.kernels.debian.changelog import changes_of
from harness.kernels.intake import PACKAGE_LIMIT_BYTES, check_packages
from harness.kernels.local.files import LocalSource, expanded, files_key
from harness.model.history import Step
from harness.model.kernel import Kernel
from harness.parse.foreign import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class DebSpec:
    """The packages of one kernel."""

    packages: tuple[Path, ...]


class DebSource(LocalSource[DebSpec]):
    """Debian's packages, of whatever origin."""

    name = "deb"
    forms = "  deb:FILE[,FILE...]                kernel packages on this disk"

    def parse(self, text: str, rest: str, /) -> DebSpec:
        """As ``KernelSource.parse``."""
        names = rest.split(",")
        for name in names:
            if not name.endswith(".deb"):
                raise ConfigError(
                    f"`{text}`: `{name}` is not a Debian package",
                    remedy="Write deb:FILE.deb[,FILE.deb...]; from 7.0 on a kernel needs its linux-binary, "
                    "linux-modules and linux-base packages.",
                )
        return DebSpec(packages=tuple(Path(name) for name in names))

    def suggest(self, text: str, /) -> str | None:
        """As ``KernelSource.suggest``."""
        return f"Did you mean `deb:{text}`?" if is_package_name(text) else None

    def key(self, spec: DebSpec, /) -> str:
        """As ``LocalSource.key``."""
        return files_key("DebSpec", [(path, PACKAGE_LIMIT_BYTES) for path in spec.packages])

    def pieces(self, spec: DebSpec, scratch: Path, /) -> Pieces:
        """As ``LocalSource.pieces``."""
        files = [expanded(path) for path in spec.packages]
        check_packages(files)
        what = printable(", ".join(path.name for path in spec.packages))
        return find_pieces(unpack_packages(files, scratch / "root"), what=what)

    def provenance(self, spec: DebSpec, /) -> dict[str, str]:
        """As ``LocalSource.provenance``."""
        return {"packages": " ".join(str(path) for path in spec.packages)}

    def changes(self, older: Kernel, newer: Kernel, /) -> Step:
        """What the packages' changelogs say."""
        return changes_of(older, newer)


def is_package_name(text: str) -> bool:
    """Whether a text is the name of a package's file."""
    return text.endswith(".deb")
