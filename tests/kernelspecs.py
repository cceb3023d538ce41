"""Kernel specs as the sources of the registry read them."""

from pathlib import Path
from typing import Any

from harness.host.paths import Paths
from harness.kernels.library import KernelLibrary
from harness.model.kernel import AvailableKernel

NOWHERE = Path("/nonexistent")


def parse_kernel_spec(text: str) -> Any:
    """What the spec is to its source; nothing is looked up, or written."""
    with KernelLibrary(Paths(cache=NOWHERE, state=NOWHERE)) as library:
        return library.parse(text)[1]


def available(library: KernelLibrary, **only: Any) -> tuple[AvailableKernel, ...]:
    """The kernels that a library offers; `only` as ``KernelLibrary.offers`` takes it."""
    return tuple(offer.kernel for offer in library.offers(**only))
