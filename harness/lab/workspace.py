"""What one user has on this host: settings, folders, results, kernels, images.

Nothing here imports what boots guests or decides, and each store is imported when it is asked for: what only reads
answers at once.
"""

import os
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.config import Settings, load_settings
from harness.config.settings import variable_of
from harness.host.architecture import host_architecture
from harness.host.leases import Lease, reclaim
from harness.host.paths import Paths, default_paths, settings_file
from harness.interfaces import NullProgress, Progress
from harness.model.arch import Architecture
from harness.model.kernel import Kernel

if TYPE_CHECKING:
    from harness.images.store import ImageStore
    from harness.kernels.library import KernelLibrary
    from harness.store import SqlStore


class Workspace:
    """Kernels, images and results of this user. A context manager.

    Entering it removes what killed processes of kab left behind; leaving it closes what was opened and keeps the cache
    within its limit. Nothing is read or made before it is needed.
    """

    def __init__(
        self, *, progress: Progress | None = None, settings: Settings | None = None, paths: Paths | None = None
    ) -> None:
        """`progress` is told what happens; `settings` and `paths` are this user's unless given. Raises ConfigError."""
        self.progress: Progress = progress or NullProgress()
        self.paths = paths or default_paths()
        self.settings = settings or load_settings(settings_file(), os.environ)
        # What killed processes had left, in words; known once it is entered.
        self.reclaimed: tuple[str, ...] = ()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.reclaimed = tuple(reclaim(self.paths))
        for removed in self.reclaimed:
            self.progress.note(f"removed what a killed kab left behind: {removed}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            # Those that were used here stay: they are locked until the stack closes.
            if kind is None and "kernels" in self.__dict__:
                for kernel in self.kernels.prune(self.settings.cache_limit_bytes):
                    self.progress.note(f"removed {kernel.release} from the cache, which is over its limit")
                for folder in self.kernels.prune_builds(self.settings.cache_limit_bytes):
                    self.progress.note(f"removed the build folder {folder}: the cache is over its limit")

    @property
    def environment(self) -> dict[str, str]:
        """This process's variables, but for those that the settings and folders here speak for: as these say.

        It is passed to what fetches, and to processes of kab's own; ``os.environ`` stays what it was.
        """
        here = {
            "KAB_CACHE_DIR": str(self.paths.cache),
            "KAB_STATE_DIR": str(self.paths.state),
            **{
                variable_of(key): str(value)
                for key, value in (
                    ("cache_limit", self.settings.cache_limit_bytes),
                    ("debian_mirror", self.settings.debian_mirror or ""),
                    ("debian_security_mirror", self.settings.debian_security_mirror or ""),
                )
            },
        }
        return {**os.environ, **here}

    @property
    def on_server(self) -> bool:
        """Whether results are in a database behind a server."""
        return bool(self.settings.database) and not str(self.settings.database).startswith("sqlite")

    @cached_property
    def store(self) -> "SqlStore":
        """The results."""
        where, note = self.settings.database or self.paths.database, self.progress.note
        if not self.on_server:
            from harness.store import SqlStore

            return self._stack.enter_context(SqlStore(where, note=note))
        from harness.store.served import open_store

        return self._stack.enter_context(open_store(where, outboxes=self.paths.outboxes, note=note))

    @cached_property
    def lease(self) -> Lease:
        """What this process owns on the host."""
        return self._stack.enter_context(Lease(self.paths))

    @cached_property
    def kernels(self) -> "KernelLibrary":
        """Kernels: those in the cache, and those that can be fetched or built."""
        from harness.kernels.library import KernelLibrary

        return self._stack.enter_context(
            KernelLibrary(
                self.paths,
                progress=self.progress.download,
                building=self.progress.building,
                note=self.progress.note,
                environment=self.environment,
            )
        )

    @cached_property
    def images(self) -> "ImageStore":
        """Guest root images of this host's architecture."""
        return self.images_of(host_architecture())

    def images_of(self, architecture: Architecture) -> "ImageStore":
        """Guest root images of an architecture."""
        from harness.images.store import ImageStore

        return ImageStore(self.paths, architecture=architecture, environment=self.environment)

    def resolve(self, spec: str) -> Kernel:
        """The kernel of a spec, fetched or built where it is not in the cache. Raises as KernelLibrary.resolve."""
        return self.kernels.resolve(spec)
