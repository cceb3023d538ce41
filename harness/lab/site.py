"""A site of static pages from the store: gathered here, rendered by `report.site`, written by `host.pagefolder`."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
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
from harness.model.alarm import Alarm
from harness.model.matrix import MATRIX_VERBS, CellView
from harness.model.run import RunState
from harness.parse.foreign import printable
from harness.parse.plainjson import canonical, to_plain
from harness.report.history.charts import trend_svg
from harness.report.matrix.html import matrix_html
from harness.report.site.html import OVERVIEW, cell_html, damaged_html, overview_html
from harness.report.site.state import CellHistory, MatrixState, ToldRun, newest_of, run_page
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
    states = [
        _state(workspace, title, [one for one in told if one.plan.title == title], alarms, damaged) for title in titles
    ]
    pages = _pages(workspace, [state for state in states if state is not None], alarms)
    return Site(
        overview=folder / OVERVIEW,
        published=publish(folder, pages),
        runs=sum(name.startswith("run/") for name in pages),
        cells=sum(name.startswith("cell/") for name in pages),
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


def _state(
    workspace: Workspace, title: str, told: Sequence[ToldRun], alarms: Sequence[Alarm], damaged: list[str]
) -> MatrixState | None:
    """A matrix by its newest runs; those whose boots cannot be read are left out."""
    if not told:
        return None
    newest = newest_of(told)
    needed = dict.fromkeys([told[0].run.id, *(one.run.id for one, _ in newest.values())])
    views: dict[str, CellView] = {}
    for run_id in needed:
        try:
            view = matrix_view(workspace, run_id)
        except DamagedError as error:
            damaged.append(error.message)
            return _state(workspace, title, [one for one in told if one.run.id != run_id], alarms, damaged)
        views |= {cell.cell.name: cell for cell in view.cells if newest[cell.cell.name][0].run.id == run_id}
        if run_id == told[0].run.id:
            first = view
    kept = with_consoles(workspace.store, replace(first, cells=tuple(views[name] for name in newest)))
    return MatrixState(
        title=title,
        newest=first,
        runs=tuple(told),
        cells=tuple(_history(workspace, title, newest[cell.cell.name][0], cell, told, alarms) for cell in kept.cells),
    )


def _history(
    workspace: Workspace, title: str, of: ToldRun, now: CellView, told: Sequence[ToldRun], alarms: Sequence[Alarm]
) -> CellHistory:
    name, series = followed(now.cell)
    counting = [one.metric for one in now.result.metrics]
    trends = cell_trends(workspace, matrix=title, cell=name, series=series, counting=counting)
    return CellHistory(
        title=title,
        cell=now.cell,
        now=now,
        run=of.run,
        gates=of.plan.policy is not None,
        results=tuple(
            (one.run, result) for one in told for result in one.outcome.cells if result.cell == now.cell.name
        ),
        alarms=tuple(
            alarm
            for alarm in alarms
            if (alarm.name.matrix, alarm.name.cell, alarm.name.series) == (title, name, series)
        ),
        trends=tuple(trend_svg(trend) for trend in trends[:_MOST_TRENDS] if len(trend.nights) > 1),
    )


def _pages(workspace: Workspace, states: Sequence[MatrixState], alarms: Sequence[Alarm]) -> dict[str, Page]:
    now = datetime.now(UTC)
    pages = {OVERVIEW: Page(make=lambda: overview_html(states, alarms, now=now))}
    for state in states:
        for one in state.cells:
            pages[one.page] = Page(make=partial(cell_html, one, now=now))
        links = {one.cell.name: f"../{one.page}" for one in state.cells}
        for told in state.runs:
            pages[run_page(told.run.id)] = Page(
                make=partial(_run_html, workspace, told, links), of=_made_of(told, links)
            )
    return pages


def _run_html(workspace: Workspace, told: ToldRun, links: dict[str, str]) -> str:
    up = f"../{OVERVIEW}"
    try:
        view = with_consoles(workspace.store, matrix_view(workspace, told.run.id))
    except DamagedError as error:
        return damaged_html(told, error.message, up=up)
    return matrix_html(view, links=links, up=up)


def _made_of(told: ToldRun, links: dict[str, str]) -> str:
    """A hash of all that the page of a finished run follows from; an open one is made each time."""
    if told.open:
        return ""
    here = [(cell.name, links.get(cell.name, "")) for cell in told.plan.cells]
    parts = (__version__, _drawn_by(), told.run.id, to_plain(told.plan), to_plain(told.outcome), here)
    return sha256(canonical(parts).encode()).hexdigest()


@cache
def _drawn_by() -> str:
    """A hash of the code that draws pages: a kab that was updated makes them anew, whatever it calls its version."""
    found = sha256()
    for package in (harness.report, harness.render):
        for path in sorted(Path(package.__path__[0]).rglob("*")):
            if path.suffix in {".py", ".j2"}:
                found.update(path.read_bytes())
    return found.hexdigest()
