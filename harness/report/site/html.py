"""The pages of a site that are not of one run: the overview of all matrices, and each cell over the nights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from harness import __version__
from harness.model.alarm import Alarm
from harness.model.matrix import CellResult, CellView
from harness.model.run import Run
from harness.render import Fragment, render
from harness.report import wording
from harness.report.matrix import claims
from harness.report.matrix.cards import CellCard, cell_card
from harness.report.matrix.heatmap import HeatMap, Tile, heat_map, tile_of
from harness.report.site.state import CellHistory, MatrixState, ToldRun, cell_page, run_page
from harness.workloads.registry import metrics_of

OVERVIEW = "index.html"
"""The page to begin with."""

# Of a matrix, on the overview; of a cell, on its page.
_MOST_RUNS, _MOST_NIGHTS = 12, 60
# Characters of what an alarm's owner wrote.
_LONGEST_NOTE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow:
    """An alarm as a page tells it."""

    alarm: Alarm
    # The page of its cell, "" where that is not in the site.
    link: str
    # "write_iops -12 % (x0.88, ...)", and the same of other metrics that moved with it.
    effect: str
    others: tuple[str, ...]
    worse: str
    owner: str
    note: str
    since: datetime
    due: datetime | None
    overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run of a matrix in a list."""

    run: Run
    link: str
    word: str
    sign: str
    kind: str
    kernels: str
    counts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixCard:
    """A matrix on the overview."""

    anchor: str
    title: str
    word: str
    sign: str
    kind: str
    claim: str
    map: HeatMap
    runs: tuple[RunRow, ...]
    more_runs: int
    # Cells that are not in the newest run.
    older: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NightRow:
    """What came of a cell in one run."""

    run: Run
    link: str
    tile: Tile
    effect: str
    kernels: str
    boots: int


def overview_html(states: Sequence[MatrixState], alarms: Sequence[Alarm], *, now: datetime) -> str:
    """The overview: alarms that are open, and of each matrix the newest state of its cells."""
    pages = {(one.title, one.cell.name) for state in states for one in state.cells}
    cards = [_matrix_card(state, number) for number, state in enumerate(states, 1)]
    still = [_alarm_row(alarm, pages, now=now, up="") for alarm in alarms if alarm.open]
    return render("report/site/overview.html.j2", matrices=cards, alarms=still, version=__version__)


def cell_html(told: CellHistory, boots: CellView, trends: Sequence[Fragment], *, now: datetime) -> str:
    """The page of a cell: how it is now (`boots`: all that is stored of it), its trends, its nights, its alarms."""
    up = "../"
    link = run_link(told.now.run, up=up)
    gates = told.now.plan.policy is not None
    card = cell_card(boots, link=link, gates=gates)
    return render(
        "report/site/cell.html.j2",
        title=told.title,
        card=card,
        gates=gates,
        trends=trends,
        up=up + OVERVIEW,
        run=told.now.run,
        run_link=link,
        claim=_cell_claim(told, card),
        hero=_HEROES.get(card.tile.kind, "inconclusive"),
        nights=[_night(told, run, result, up=up) for run, result in told.results[:_MOST_NIGHTS]],
        more_nights=max(len(told.results) - _MOST_NIGHTS, 0),
        alarms=[_alarm_row(alarm, {(told.title, told.cell.name)}, now=now, up=up) for alarm in told.alarms],
        version=__version__,
    )


def damaged_html(told: ToldRun, message: str, *, up: str) -> str:
    """The page of a run whose boots cannot be read any more."""
    return render("report/site/damaged.html.j2", run=told.run, message=message, up=up, version=__version__)


# Kind of a tile -> that of the card that a page begins with.
_HEROES = {"better": "faster", "fine": "faster", "same": "same", "worse": "slower"}


def run_link(run: Run, *, up: str = "") -> str:
    """From a page that lies `up` below the site's folder to that of a run."""
    return up + run_page(run.id)


def _matrix_card(state: MatrixState, number: int) -> MatrixCard:
    newest = state.newest
    word, sign, kind = claims.word(newest)
    cells = []
    for one in state.cells:
        tile = tile_of(one.result, metrics_of(one.cell.experiment.workload), link=one.page)
        older = one.now.run.id != newest.run.id
        cells.append((one.cell.axes, replace(tile, when=f"{one.now.run.created:%Y-%m-%d}") if older else tile))
    return MatrixCard(
        anchor=f"matrix-{number}",
        title=state.title,
        word=word,
        sign=sign,
        kind=kind,
        claim=claims.claim(newest),
        map=heat_map(cells),
        runs=tuple(_run_row(told) for told in state.runs[:_MOST_RUNS]),
        more_runs=max(len(state.runs) - _MOST_RUNS, 0),
        older=sum(1 for _, tile in cells if tile.when),
    )


def _run_row(told: ToldRun) -> RunRow:
    word, sign, kind = claims.word_of(told.outcome, gates=told.plan.policy is not None, is_open=told.open)
    return RunRow(
        run=told.run,
        link=run_link(told.run),
        word=word,
        sign=sign,
        kind=kind,
        kernels=_kernels(told.outcome.cells),
        counts=", ".join(f"{count} {name}" for name, count in claims.counts_of(told.outcome.cells)),
    )


def _night(told: CellHistory, run: Run, result: CellResult, *, up: str) -> NightRow:
    metrics = metrics_of(told.cell.experiment.workload)
    lead = claims.leading(result, metrics)
    return NightRow(
        run=run,
        link=run_link(run, up=up),
        tile=tile_of(result, metrics, link=run_link(run, up=up)),
        effect=wording.effect(lead.comparison) if lead is not None else result.reason,
        kernels=_kernels([result]),
        boots=result.boots,
    )


def _kernels(results: Sequence[CellResult]) -> str:
    """``7.2.12 against 6.12.107``, or how many pairs."""
    pairs = dict.fromkeys(
        f"{one.candidate.name} against {one.baseline.name}"
        for one in results
        if one.baseline is not None and one.candidate is not None
    )
    return next(iter(pairs)) if len(pairs) == 1 else f"{len(pairs)} pairs" if pairs else ""


def _cell_claim(told: CellHistory, card: CellCard) -> str:
    kernels = _kernels([told.result])
    words = f"{card.tile.word}{', waived' if card.tile.waived else ''}"
    return f"{told.cell.name}: {words}" + (f", {kernels}" if kernels else "")


def _alarm_row(alarm: Alarm, pages: set[tuple[str, str]], *, now: datetime, up: str) -> AlarmRow:
    names = (alarm.name.cell, f"{alarm.name.series}/{alarm.name.cell}")
    page = next((name for name in names if (alarm.name.matrix, name) in pages), None)
    last = alarm.events[-1]
    found = alarm.comparison
    return AlarmRow(
        alarm=alarm,
        link=up + cell_page(alarm.name.matrix, page) if page is not None else "",
        effect=wording.effect(found) if found.ratio is not None else found.metric,
        others=tuple(wording.effect(one) for one in alarm.others if one.ratio is not None),
        worse="worse" if alarm.worse else "better",
        owner=last.owner,
        note=last.note[:_LONGEST_NOTE],
        since=alarm.events[0].at,
        due=last.due,
        overdue=alarm.overdue(now),
    )
