"""Where recipes, catalogues and templates are: inside the wheel, or at the top of a source checkout."""

from pathlib import Path

from harness.errors import HostError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `name` ("configs", "images" or "kernels"). Raises HostError when the installation lacks it."""
    # A wheel carries them as harness/_data (see pyproject.toml); a checkout has them beside the package.
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise HostError(f"this installation of kab lacks its folder {name}/", remedy="Install kab again.")
