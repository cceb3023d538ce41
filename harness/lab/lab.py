"""One user's laboratory on this host: what it keeps, and what can be done with it.

Nothing here imports what boots guests or decides, and each store is imported when it is asked for: what only reads
answers at once.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.config import Request, Settings, load_settings
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
    from harness.lab.bench import OpenBench
    from harness.lab.boot import Booted
    from harness.lab.listings import RunListing, Verified
    from harness.lab.ranges import BuildOptions
    from harness.lab.reports import RunReport, SearchReport
    from harness.lab.searches import StoredSearch
    from harness.lab.searchrequest import SearchRequest
    from harness.model.bisection import BisectionOutcome
    from harness.model.check import Check
    from harness.model.run import Run
    from harness.model.verdict import Decision
    from harness.run.answer import TreeLister
    from harness.store import SqlStore


class Lab:
    """Kernels, images and results of this user, and the experiments made with them. A context manager.

    Entering it removes what killed processes of kab left behind; leaving it closes what was opened and keeps the cache
    within its limit. Nothing is read or made before it is needed. Every method raises KabErrors only: ConfigError (what
    was asked for cannot be), HostError (trouble of the host), KernelError (of a kernel that is built).
    """

    def __init__(
        self, *, progress: Progress | None = None, settings: Settings | None = None, paths: Paths | None = None
    ) -> None:
        """`progress` is told what happens; `settings` and `paths` are this user's unless given. Raises ConfigError."""
        self.progress: Progress = progress or NullProgress()
        self.paths = paths or default_paths()
        self.settings = settings or load_settings(settings_file(), os.environ)
        # What killed processes had left, in words; known once the laboratory is entered.
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

    # What is kept.

    @cached_property
    def store(self) -> "SqlStore":
        """The results."""
        from harness.store import SqlStore

        return self._stack.enter_context(
            SqlStore(self.settings.database or self.paths.database, note=self.progress.note)
        )

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

    def tree_lister(self, tree: Path | None) -> "TreeLister | None":
        """What lists commits between packages from the git clone `tree`, else from that of the settings; or None.

        Raises ConfigError where `tree` is no git repository; HostError.
        """
        from harness.lab.treesuspects import tree_lister

        return tree_lister(self, tree)

    def examine(self) -> "list[Check]":
        """All that can be found out about this host without booting, as `kab doctor` shows it."""
        from harness.doctor import examine
        from harness.guest.accelerator import remembered_accelerator

        return examine(self.paths, environment=self.environment, remembered=lambda: remembered_accelerator(self.paths))

    # What is done.

    def bench(
        self, *, accelerator: str | None = None, connect: str | None = None, destroy_data: str = ""
    ) -> "AbstractContextManager[OpenBench]":
        """A bench for any number of runs, as a context manager: one connection, and one answer of what runs guests.

        `accelerator`: "kvm", "tcg", or "auto" (None): found out by booting the first kernel that comes. `connect`: a
        libvirt URI, else that of the settings. `destroy_data`: the block device whose content may be lost.
        """
        from harness.lab.bench import open_bench

        return open_bench(self, accelerator=accelerator or "auto", connect=connect, destroy_data=destroy_data)

    @contextmanager
    def bench_for(self, request: Request, bench: "OpenBench | None", destroy_data: str) -> "Iterator[OpenBench]":
        """The bench that is open already, or one of the request's own.

        Raises ConfigError where an open one is not what the request wants.
        """
        if bench is not None:
            bench.check_request(request)
            yield bench
            return
        with self.bench(accelerator=request.accelerator, connect=request.connect, destroy_data=destroy_data) as opened:
            yield opened

    def compare(
        self,
        request: Request,
        *,
        bench: "OpenBench | None" = None,
        destroy_data: str = "",
        fresh: bool = False,
        command: tuple[str, ...] = (),
    ) -> "tuple[Run, Decision]":
        """Boot baseline and candidate in turns until the verdict is final; an unfinished run of the same is continued.

        `fresh`: start anew all the same. `command`: what to store for "how to repeat", else the `kab ab` that asks for
        the same. Returns the stored run, with its trials, and the decision.
        """
        from harness.lab.compare import compare

        return compare(self, request, bench=bench, destroy_data=destroy_data, fresh=fresh, command=command)

    def search(
        self,
        wanted: "SearchRequest",
        *,
        bench: "OpenBench | None" = None,
        destroy_data: str = "",
        command: tuple[str, ...] = (),
    ) -> "tuple[Run, BisectionOutcome]":
        """Find the edges on a range of kernels, or go on with a search for the same ones; `command` as in ``compare``.

        Returns the stored run and its outcome. A search that its cap ends is left open.
        """
        from harness.lab.search import search

        return search(self, wanted, bench=bench, destroy_data=destroy_data, command=command)

    def classify(
        self,
        spec: str,
        *,
        like: str,
        error: float = 0.01,
        max_boots: int = 8,
        request: Request | None = None,
        bench: "OpenBench | None" = None,
        destroy_data: str = "",
        command: tuple[str, ...] = (),
    ) -> "tuple[Run, Decision]":
        """Whether the kernel `spec` is like the fast or like the slow side of the stored run `like`.

        `error`: the allowed probability of a wrong answer. Of `request`, accelerator and connection are taken. The
        decision's verdict is SAME for fast, SLOWER for slow, INCONCLUSIVE after `max_boots`.
        """
        from harness.lab.classify import classify

        return classify(
            self,
            spec,
            like=like,
            error=error,
            max_boots=max_boots,
            request=request or Request(),
            bench=bench,
            destroy_data=destroy_data,
            command=command,
        )

    def boot(
        self, spec: str, request: Request | None = None, *, bench: "OpenBench | None" = None, destroy_data: str = ""
    ) -> "AbstractContextManager[Booted]":
        """Boot the kernel `spec` as a trial would, with the request's guest and disk; the guest is gone afterwards."""
        from harness.lab.boot import boot

        return boot(self, spec, request or Request(), bench=bench, destroy_data=destroy_data)

    def build(self, spec: str, options: "BuildOptions | None" = None) -> Kernel:
        """The kernel of a ``git:TREE@REVISION``, built unless it is in the cache; its spec says how.

        Raises ConfigError, HostError, BuildError, DoesNotApplyError.
        """
        from harness.lab.ranges import BuildOptions, built_spec

        return self.resolve(built_spec(spec, options or BuildOptions()))

    # What is told.

    def runs(self, limit: int = 20) -> "RunListing":
        """The newest runs, with how each ended; those that cannot be read are told apart."""
        from harness.lab.listings import list_runs

        return list_runs(self, limit)

    def verify(self, specs: Sequence[str] = ()) -> "Iterator[Verified]":
        """Read all content of the kernels of `specs`, else of the whole cache, images too; remove what is damaged.

        Raises ConfigError (a kernel is not in the cache), HostError.
        """
        from harness.lab.listings import verify

        return verify(self, specs)

    def report(self, run_id: str = "last") -> "RunReport | SearchReport":
        """The report of a stored run, by its id or the beginning of one. Raises ConfigError."""
        from harness.lab.reports import report

        return report(self, run_id)

    def report_search(
        self, run_id: str | None = None, *, tree: Path | None = None, outcome: "BisectionOutcome | None" = None
    ) -> "SearchReport":
        """The report of a search, the newest where none is named, with what the git clone `tree` lists at its edges.

        `outcome`: that of a search which its cap ended, as ``search`` gave it; no store holds that. Raises ConfigError.
        """
        from harness.lab.reports import report_search

        return report_search(self, run_id, tree=tree, outcome=outcome)

    def stored_search(self, run_id: str | None = None) -> "StoredSearch":
        """A search with all that is known of it, the newest where none is named. Raises ConfigError."""
        from harness.lab.searches import stored_search

        return stored_search(self, run_id)

    def skip(self, spec: str, *, undo: bool = False, reason: str = "by hand") -> "tuple[Run, str]":
        """Take a kernel out of the newest unfinished search, or put it back; the search, and the kernel's release.

        It may be running. Raises ConfigError.
        """
        from harness.lab.searches import skip

        return skip(self, spec, undo=undo, reason=reason)
