"""The sources of kernels that kab knows. A new one is a line here, and a module with what ``KernelSource`` says."""

from collections.abc import Callable
from typing import Any

from harness.kernels.debian.source import DebianSource
from harness.kernels.git.source import GitSource
from harness.kernels.local.deb import DebSource
from harness.kernels.local.file import FileSource
from harness.kernels.local.host import HostSource
from harness.kernels.local.tree import TreeSource
from harness.kernels.source import KernelSource, Surroundings

SourceMaker = Callable[[Surroundings], KernelSource[Any]]

# In the order in which people are told of them.
SOURCES: tuple[SourceMaker, ...] = (
    DebianSource,
    DebSource,
    FileSource,
    TreeSource,
    GitSource,
    HostSource,
)
