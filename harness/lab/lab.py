"""The experiments of one user on this host: what can be done, and what is told of it.

Nothing here imports what boots guests or decides before it is asked to: what only reads answers at once.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import Request
from harness.lab.workspace import Workspace
from harness.model.kernel import Kernel

if TYPE_CHECKING:
    from harness.export.formats import CsvRows, ExportFormat
    from harness.lab.alarms import AlarmStory
    from harness.lab.bench import BenchChoice, OpenBench
    from harness.lab.boot import Booted
    from harness.lab.exports import Export
    from harness.lab.histories import HistoryReport
    from harness.lab.listings import RunListing, Verified
    from harness.lab.nightly import NightlyResult
    from harness.lab.nightlyrequest import NightlyRequest
    from harness.lab.ranges import BuildOptions
    from harness.lab.reports import MatrixReport, RunReport, SearchReport
    from harness.lab.searches import StoredSearch
    from harness.lab.searchrequest import SearchRequest
    from harness.lab.site import Site
    from harness.lab.stores import Copied, StoreContents, Waiting
    from harness.model.alarm import Alarm, AlarmState
    from harness.model.bisection import BisectionOutcome
    from harness.model.check import Check
    from harness.model.estimate import MatrixEstimate
    from harness.model.matrix import MatrixOutcome, MatrixPlan
    from harness.model.run import Run
    from harness.model.verdict import Decision
    from harness.run.answer import TreeLister
    from harness.store.alarms import AlarmListing


class Lab(Workspace):
    """Experiments on this host, with the kernels, images and results of this user. A context manager.

    Every method raises KabErrors only: ConfigError (what was asked for cannot be), HostError (trouble of the host),
    KernelError (of a kernel that is built).
    """

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
        from harness.lab.stores import database_check

        found = examine(self.paths, environment=self.environment, remembered=lambda: remembered_accelerator(self.paths))
        return [*found, database_check(self)]

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

    def _choice(self, bench: "OpenBench | None", destroy_data: str) -> "BenchChoice":
        """The bench that is open already, or how one of a run's own is opened."""
        from harness.lab.bench import BenchChoice

        def make(accelerator: str | None, connect: str | None) -> "AbstractContextManager[OpenBench]":
            return self.bench(accelerator=accelerator, connect=connect, destroy_data=destroy_data)

        return BenchChoice(given=bench, make=make)

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

        return compare(
            self,
            request,
            bench=self._choice(bench, destroy_data),
            destroy_data=destroy_data,
            fresh=fresh,
            command=command,
        )

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

        return search(
            self,
            wanted,
            tree=self.tree_lister(wanted.tree),
            bench=self._choice(bench, destroy_data),
            destroy_data=destroy_data,
            command=command,
        )

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
            bench=self._choice(bench, destroy_data),
            destroy_data=destroy_data,
            command=command,
        )

    def measure_matrix(
        self,
        plan: "MatrixPlan",
        *,
        verb: str = "run",
        place: Request | None = None,
        bench: "OpenBench | None" = None,
        destroy_data: str = "",
        fresh: bool = False,
        seed: int | None = None,
        command: tuple[str, ...] = (),
    ) -> "tuple[Run, MatrixOutcome]":
        """Measure every cell of a matrix, or go on with an unfinished run of the same; a gate where it has a policy.

        `verb`: "run", "gate" or "nightly". Of `place`, accelerator and connection are taken. Cells that fail stop no
        others. `seed`: of all orders, else drawn. `fresh`, `command` as in ``compare``. Returns the stored run and the
        outcome; ``report`` has the cells. Raises HostError where the host is plainly gone: the run stays open, and the
        same call goes on with it.
        """
        from harness.lab.matrix import measure_matrix

        return measure_matrix(
            self,
            plan,
            verb=verb,
            place=place or Request(),
            bench=self._choice(bench, destroy_data),
            destroy_data=destroy_data,
            fresh=fresh,
            seed=seed,
            command=command,
        )

    def nightly(self, wanted: "NightlyRequest", *, bench: "OpenBench | None" = None) -> "NightlyResult":
        """Measure the kernels that are new to the series of a matrix file, each against its last good one.

        An interrupted night is gone on with. Suspected changes are put to an A/B, and each that it confirms is told
        once, to ``NightlyRequest.on_change`` too. Raises HostError where another process measures the same nights, or
        the host is plainly gone: the same call goes on.
        """
        from harness.lab.nightly import nightly

        return nightly(self, wanted, bench=self._choice(bench, wanted.destroy_data))

    def boot(
        self, spec: str, request: Request | None = None, *, bench: "OpenBench | None" = None, destroy_data: str = ""
    ) -> "AbstractContextManager[Booted]":
        """Boot the kernel `spec` as a trial would, with the request's guest and disk; the guest is gone afterwards."""
        from harness.lab.boot import boot

        return boot(self, spec, request or Request(), bench=self._choice(bench, destroy_data))

    def screen_and_confirm(
        self, run: "Run", *, bench: "OpenBench", max_confirmations: int = 5, destroy_data: str = ""
    ) -> "tuple[Alarm, ...]":
        """Screen the series of the cells of a matrix that was just measured, and put what is suspected to A/Bs.

        At most `max_confirmations` of these are made, each of at most 40 boots or the cell's own cap; the rest comes
        again with the next night. Returns the alarms that are new, or new again. What the host lets nobody confirm is
        noted, and is no error. Raises ConfigError where `run` is no matrix, HostError where the store does not answer.
        """
        from harness.lab.confirming import screen_and_confirm

        return screen_and_confirm(
            self, run, bench=bench, max_confirmations=max_confirmations, destroy_data=destroy_data
        )

    def build(self, spec: str, options: "BuildOptions | None" = None) -> Kernel:
        """The kernel of a ``git:TREE@REVISION``, built unless it is in the cache; its spec says how.

        Raises ConfigError, HostError, BuildError, DoesNotApplyError.
        """
        from harness.lab.ranges import BuildOptions, built_spec

        return self.resolve(built_spec(spec, options or BuildOptions()))

    # What is told.

    def plan_matrix(
        self, name: str, request: Request | None = None, *, only: Sequence[str] = (), shard: str | None = None
    ) -> "MatrixEstimate":
        """The cells of a matrix or experiment, by its file or name, with what they will take; nothing is booted.

        `request` goes over what the file says for all cells; `only` ("AXIS=PATTERN") and `shard` ("I/N") choose cells.
        Raises ConfigError with FILE:LINE.
        """
        from harness.lab.planning import estimate_matrix

        return estimate_matrix(self, name, request or Request(), only=only, shard=shard)

    def runs(self, limit: int = 20, *, cells: bool = False) -> "RunListing":
        """The newest runs, with how each ended; those that cannot be read are told apart.

        `cells`: the runs inside matrices, too.
        """
        from harness.lab.listings import list_runs

        return list_runs(self, limit, cells=cells)

    def store_contents(self, where: str | None = None) -> "tuple[StoreContents, Waiting]":
        """What is in a database, by its file or URL, or in that of the settings, and what waits here for the latter."""
        from harness.lab.stores import Waiting, contents, waiting

        return contents(self, where), waiting(self) if where is None else Waiting()

    def waiting(self) -> "Waiting | None":
        """What is kept on this host for the server of the results, which was away; None where they are in a file."""
        if not self.on_server:
            return None
        from harness.lab.stores import waiting

        return waiting(self)

    def verify(self, specs: Sequence[str] = ()) -> "Iterator[Verified]":
        """Read all content of the kernels of `specs`, else of the whole cache, images too; remove what is damaged.

        Raises ConfigError (a kernel is not in the cache), HostError.
        """
        from harness.lab.listings import verify

        return verify(self, specs)

    def report(
        self, run_id: str = "last", *, all_cells: bool = False, waivers: Path | None = None
    ) -> "RunReport | SearchReport | MatrixReport":
        """The report of a stored run, by its id or the beginning of one.

        Of a matrix: `all_cells` has its text list every cell; `waivers`, a file, has a gate judged anew, from what is
        stored. Raises ConfigError.
        """
        from harness.lab.reports import report

        return report(self, run_id, lister_of=self.tree_lister, all_cells=all_cells, waivers=waivers)

    def report_search(
        self, run_id: str | None = None, *, tree: Path | None = None, outcome: "BisectionOutcome | None" = None
    ) -> "SearchReport":
        """The report of a search, the newest where none is named, with what the git clone `tree` lists at its edges.

        `outcome`: that of a search which its cap ended, as ``search`` gave it; no store holds that. Raises ConfigError.
        """
        from harness.lab.reports import report_search

        return report_search(self, run_id, tree=tree, outcome=outcome, lister_of=self.tree_lister)

    def export(self, run_id: str = "last", *, kind: "ExportFormat", rows: "CsvRows | None" = None) -> "Export":
        """A stored run, by its id or the beginning of one, as text in another tool's format.

        `rows`: what a row of a table is of, else cells where there are any. Raises ConfigError where the format does
        not fit the run, and says which do.
        """
        from harness.lab.exports import export

        return export(self, run_id, kind, rows=rows, lister_of=self.tree_lister)

    def submit(self, exported: "Export") -> str:
        """Send an export for KCIDB to the service that the variable KCIDB_REST names; what it answers.

        Raises ConfigError (no such service, its refusal, an unfinished run), HostError (it does not answer).
        """
        from harness.lab.exports import submit

        return submit(self, exported)

    def site(self, folder: Path, *, matrices: Collection[str] = (), limit: int = 100) -> "Site":
        """Write the newest `limit` matrices, or those of them with one of these titles, to `folder` as static pages.

        What did not change is not written; pages of what is not told any more are removed. Raises ConfigError where
        `folder` holds files and is no site of kab's, or no matrix has such a title; HostError.
        """
        from harness.lab.site import publish_site

        return publish_site(self, folder, matrices=matrices, limit=limit)

    def stored_search(self, run_id: str | None = None) -> "StoredSearch":
        """A search with all that is known of it, the newest where none is named. Raises ConfigError."""
        from harness.lab.searches import stored_search

        return stored_search(self, run_id)

    def history(
        self,
        *,
        workload: str | None = None,
        matrix: str | None = None,
        cell: str | None = None,
        series: str | None = None,
        metric: str | None = None,
        newest: int = 20,
    ) -> "HistoryReport":
        """What nightly runs measured: a series for each cell, series of kernels and metric.

        `matrix`, `cell`, `series` and `metric` may be shell patterns; without `metric` it is the first speed that there
        is. `newest`: nights of each series in its text. Raises ConfigError where there is nothing.
        """
        from harness.lab.histories import history

        return history(self, workload=workload, matrix=matrix, cell=cell, series=series, metric=metric, newest=newest)

    def alarms(self, *, closed: bool = False) -> "AlarmListing":
        """Confirmed changes of nightly series that are open, oldest first; with `closed` those that are not, too."""
        from harness.lab.alarms import list_alarms

        return list_alarms(self, closed=closed)

    def alarm(self, wanted: str) -> "AlarmStory":
        """An alarm by its id or the beginning of one, with what can be done about it. Raises ConfigError."""
        from harness.lab.alarms import alarm_story

        return alarm_story(self, wanted)

    def acknowledge(self, wanted: str, *, owner: str, due: datetime | None = None, note: str = "") -> "Alarm":
        """Store who looks after an alarm until when [in three working days]; the alarm then. Raises ConfigError."""
        from harness.lab.alarms import acknowledge

        return acknowledge(self, wanted, owner=owner, due=due, note=note)

    def close_alarm(self, wanted: str, *, state: "AlarmState", note: str) -> "Alarm":
        """Store how an alarm ended, FIXED or NOT_A_BUG; the alarm then. Raises ConfigError."""
        from harness.lab.alarms import close_alarm

        return close_alarm(self, wanted, state=state, note=note)

    def copy_store(self, source: str, target: str, progress: Callable[[int, int], None]) -> "Copied":
        """Bring the runs and alarms of one database, by its file or URL, into another; see harness.store.copying.

        `progress` hears of how many runs so many are done. Raises ConfigError, HostError.
        """
        from harness.lab.stores import copy

        return copy(self, source, target, progress)

    def deliver(self, progress: Callable[[int, int], None]) -> "Copied":
        """Bring what is kept here for the server of the results to it. Raises ConfigError, HostError (it is away)."""
        from harness.lab.stores import deliver

        return deliver(self, progress)

    def skip(self, spec: str, *, undo: bool = False, reason: str = "by hand") -> "tuple[Run, str]":
        """Take a kernel out of the newest unfinished search, or put it back; the search, and the kernel's release.

        It may be running. Raises ConfigError.
        """
        from harness.lab.searches import skip

        return skip(self, spec, undo=undo, reason=reason)
