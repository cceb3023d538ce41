"""What a command that only reads needs: settings, results, kernels, images.

Nothing here imports what boots guests or decides, and each store is imported when it is asked for: `kab runs` answers
at once.
"""

import os
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.config import Settings, load_settings
from harness.host.leases import Lease, reclaim
from harness.host.paths import Paths, default_paths, settings_file
from harness.interfaces import NullProgress
from harness.model.kernel import Kernel

if TYPE_CHECKING:
    from harness.images.store import ImageStore
    from harness.kernels.library import KernelLibrary
    from harness.store import SqlStore


class StoredSession:
    """One command's use of what this host keeps: what it opens it closes, what dead commands left it removes first."""

    def __init__(self, progress: NullProgress) -> None:
        self.progress = progress
        self.paths: Paths = default_paths()
        self.settings: Settings = load_settings(settings_file(), os.environ)
        # Kernels, image and doctor look for mirrors in the environment, which the settings file may speak for.
        for variable, mirror in (
            ("KAB_DEBIAN_MIRROR", self.settings.debian_mirror),
            ("KAB_DEBIAN_SECURITY_MIRROR", self.settings.debian_security_mirror),
        ):
            if mirror:
                os.environ[variable] = mirror
        self._stack = ExitStack()

    @classmethod
    def open(cls, progress: NullProgress) -> Self:
        """A session; use it as a context manager."""
        return cls(progress)

    def __enter__(self) -> Self:
        for removed in reclaim(self.paths):
            self.progress.note(f"removed what a killed kab left behind: {removed}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            # Those that this session used stay: they are locked until the stack closes.
            if kind is None and "kernels" in self.__dict__:
                for kernel in self.kernels.prune(self.settings.cache_limit_bytes):
                    self.progress.note(f"removed {kernel.release} from the cache, which is over its limit")
                for folder in self.kernels.prune_builds(self.settings.cache_limit_bytes):
                    self.progress.note(f"removed the build folder {folder}: the cache is over its limit")

    @cached_property
    def store(self) -> "SqlStore":
        """The results."""
        from harness.store import SqlStore

        return self._stack.enter_context(SqlStore(self.settings.database or self.paths.database))

    @cached_property
    def lease(self) -> Lease:
        """What this process owns on the host."""
        return self._stack.enter_context(Lease(self.paths))

    @cached_property
    def kernels(self) -> "KernelLibrary":
        """Kernels, with downloads shown."""
        from harness.kernels.library import KernelLibrary

        return self._stack.enter_context(
            KernelLibrary(
                self.paths,
                progress=self.progress.download,
                building=self.progress.building,
                note=self.progress.note,
            )
        )

    @cached_property
    def images(self) -> "ImageStore":
        """Guest root images."""
        from harness.images.store import ImageStore

        return ImageStore(self.paths)

    def resolve(self, spec: str) -> Kernel:
        """The kernel of a spec, in the cache."""
        return self.kernels.resolve(spec)
