"""A site of static pages from the store: gathered here, rendered by `report.site`, written by `host.pagefolder`."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import harness.render
import harness.report
from harness import __version__
from harness.errors import ConfigError
from harness.host.pagefolder import Page, Published, check_page_folder, publish
from harness.lab.histories import cell_trends
from harness.lab.matrixpages import with_consoles
from harness.lab.matrixviews import matrix_view
from harness.lab.workspace import Workspace
from harness.model.alarm import Alarm, Asked
from harness.model.matrix import MATRIX_VERBS, CellView, MatrixView
from harness.model.run import RunState
from harness.parse.foreign import printable
from harness.parse.plainjson import canonical, to_plain
from harness.report.history.charts import trend_svg
from harness.report.matrix.html import matrix_html
from harness.report.site.html import OVERVIEW, cell_html, damaged_html, overview_html
from harness.report.site.state import CellHistory, MatrixState, ToldRun, cell_histories, run_page
from harness.store.damage import DamagedError
from harness.store.history import followed

# Runs of a matrix up to here are told unless another number is asked for.
NEWEST = 100
# Charts of a cell over the nights.
_MOST_TRENDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What was published, and what could not be told of."""

    overview: Path
    published: Published
    runs: int
    cells: int
    damaged: tuple[str, ...]


def publish_site(workspace: Workspace, folder: Path, *, matrices: Collection[str] = (), limit: int = NEWEST) -> Site:
    """As Lab.site."""
    check_page_folder(folder)
    damaged: list[str] = []
    told = [one for one in _told(workspace, limit, damaged) if not matrices or one.plan.title in matrices]
    titles = list(dict.fromkeys(one.plan.title for one in told))
    missing = [title for title in matrices if title not in titles]
    if missing:
        raise ConfigError(
            f"none of the newest {limit} matrices is called {printable(missing[0], limit=200)}",
            remedy="`kab runs` lists what is stored; --limit looks further back.",
        )
    alarms = _alarms(workspace, titles, damaged)
    states = [_state(title, [one for one in told if one.plan.title == title], alarms) for title in titles]
    pages = _Pages(workspace, states, alarms).all()
    return Site(
        overview=folder / OVERVIEW,
        published=publish(folder, pages),
        runs=len(told),
        cells=sum(len(state.cells) for state in states),
        damaged=tuple(damaged),
    )


def _told(workspace: Workspace, limit: int, damaged: list[str]) -> list[ToldRun]:
    """The newest matrices, newest first, without their boots."""
    found = []
    store = workspace.store
    for run_id in store.matrices.ids(limit):
        try:
            run, plan = store.run(run_id), store.matrices.plan(run_id)
            is_open = run.state is RunState.OPEN
            outcome = store.matrices.outcome(run_id)
            if outcome is None:
                # What is known of an open one follows from its boots.
                outcome = matrix_view(workspace, run_id).outcome
        except DamagedError as error:
            damaged.append(error.message)
            continue
        if plan is not None and run.verb in MATRIX_VERBS:
            found.append(ToldRun(run=run, plan=plan, outcome=outcome, open=is_open))
    return found


def _alarms(workspace: Workspace, titles: Iterable[str], damaged: list[str]) -> list[Alarm]:
    """Alarms of these matrices, newest first."""
    found: list[Alarm] = []
    for title in titles:
        listing = workspace.store.alarms.all(matrix=title)
        damaged += [error.message for error in listing.damaged]
        found += listing.alarms
    return sorted(found, key=lambda alarm: alarm.events[0].at, reverse=True)


def _state(title: str, told: Sequence[ToldRun], alarms: Sequence[Alarm]) -> MatrixState:
    by_cell: dict[str, list[Alarm]] = defaultdict(list)
    for cell in {cell.name: cell for one in told for cell in one.plan.cells}.values():
        name, series = followed(cell)
        by_cell[cell.name] += [
            alarm
            for alarm in alarms
            if (alarm.name.matrix, alarm.name.cell, alarm.name.series) == (title, name, series)
        ]
    return MatrixState(title=title, runs=tuple(told), cells=tuple(cell_histories(title, told, by_cell)))


class _Pages:
    """All pages, of which only those are drawn, and only those boots are read, that something changed of."""

    def __init__(self, workspace: Workspace, states: Sequence[MatrixState], alarms: Sequence[Alarm]) -> None:
        self._workspace = workspace
        self._states = states
        self._alarms = alarms
        self._now = datetime.now(UTC)
        # The matrix that was read last: pages of its cells follow upon its own.
        self._read: tuple[str, MatrixView | None] = ("", None)

    def all(self) -> dict[str, Page]:
        """Path in the site's folder -> page."""
        states, alarms, now = self._states, self._alarms, self._now
        pages = {OVERVIEW: Page(make=lambda: overview_html(states, alarms, now=now))}
        for state in states:
            links = {one.cell.name: f"../{one.page}" for one in state.cells}
            asked: dict[tuple[str, str], list[Asked]] = defaultdict(list)
            for suspicion in self._workspace.store.alarms.asked(matrix=state.title):
                asked[suspicion.name.cell, suspicion.name.series].append(suspicion)
            for told in state.runs:
                pages[run_page(told.run.id)] = Page(make=partial(self._run, told, links), of=_run_of(told, links))
                for one in state.cells:
                    if one.now is told:
                        of = self._cell_of(one, asked[followed(one.cell)])
                        pages[one.page] = Page(make=partial(self._cell, one), of=of)
        return pages

    def _view(self, run_id: str) -> MatrixView:
        if self._read[0] != run_id:
            view = matrix_view(self._workspace, run_id)
            self._read = (run_id, with_consoles(self._workspace.store, view))
        assert self._read[1] is not None
        return self._read[1]

    def _run(self, told: ToldRun, links: Mapping[str, str]) -> str:
        up = f"../{OVERVIEW}"
        try:
            view = self._view(told.run.id)
        except DamagedError as error:
            return damaged_html(told, error.message, up=up)
        return matrix_html(view, links=links, up=up)

    def _cell(self, one: CellHistory) -> str:
        boots = CellView(cell=one.cell, result=one.result)
        # The page of its run says it where the boots are damaged.
        with suppress(DamagedError):
            found = (cell for cell in self._view(one.now.run.id).cells if cell.cell.name == one.cell.name)
            boots = next(found, boots)
        name, series = followed(one.cell)
        counting = [found.metric for found in one.result.metrics]
        trends = cell_trends(self._workspace, matrix=one.title, cell=name, series=series, counting=counting)
        shown = [trend_svg(trend) for trend in trends[:_MOST_TRENDS] if len(trend.nights) > 1]
        return cell_html(one, boots, shown, now=self._now)

    def _cell_of(self, one: CellHistory, asked: Sequence[Asked]) -> str:
        """A hash of all that the page of a cell follows from, but for nights beyond those told, which stay the same."""
        if one.now.open:
            return ""
        results = [(run.id, result) for run, result in one.results]
        alarms = [(alarm, alarm.overdue(self._now)) for alarm in one.alarms]
        return _hash(one.title, one.cell, results, alarms, asked)


def _run_of(told: ToldRun, links: Mapping[str, str]) -> str:
    """A hash of all that the page of a finished run follows from; an open one is made each time."""
    here = [(cell.name, links.get(cell.name, "")) for cell in told.plan.cells]
    return "" if told.open else _hash(told.run.id, told.plan, told.outcome, here)


def _hash(*parts: object) -> str:
    return sha256(canonical((__version__, _drawn_by(), to_plain(list(parts)))).encode()).hexdigest()


@cache
def _drawn_by() -> str:
    """A hash of the code that draws pages: a kab that was updated makes them anew, whatever it calls its version."""
    found = sha256()
    for package in (harness.report, harness.render):
        for path in sorted(Path(package.__path__[0]).rglob("*")):
            if path.suffix in {".py", ".j2"}:
                found.update(path.read_bytes())
    return found.hexdigest()
