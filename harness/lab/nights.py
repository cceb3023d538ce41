"""What the next night measures: kernels on offer, what the store has of earlier nights, and the cells that follow."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from harness.errors import ConfigError, DoesNotApplyError, ExitCode, HostError, KabError, KernelError
from harness.history.nights import Baseline, Choice, Known, Measured, NewKernels, baseline_of, new_kernels
from harness.lab.workspace import Workspace
from harness.model.experiment import Arm
from harness.model.history import Rung
from harness.model.matrix import SERIES_AXIS, Cell, CellResult, CellVerdict, FailKind, MatrixPlan
from harness.model.run import KernelRecord, Run
from harness.model.trial import Outcome
from harness.run.boots import record_of

VERB = "nightly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What there is of one series, oldest first."""

    kernels: tuple[Known, ...]
    is_newer: Callable[[str, str], bool]
    # Whether its source lists kernels; else the series is one kernel that changes, such as the tip of a branch.
    listed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A cell that a night measures, and why with these kernels."""

    cell: Cell
    kernel: Known
    baseline: Baseline


@dataclass(slots=True, kw_only=True)
class Nights:
    """The nights of one matrix, by title; `cells` are all that it follows, see harness.config.matrix.over_series."""

    workspace: Workspace
    plan: MatrixPlan
    newest: int = 1
    # Series that there is nothing of, with what was said.
    missing: dict[str, KabError] = field(default_factory=dict)
    _offers: dict[str, Offer] = field(default_factory=dict)
    # Cell -> kernels that are still to be measured, oldest first.
    _wanted: dict[str, list[Known]] = field(default_factory=dict)
    _past: dict[str, list[Measured]] = field(default_factory=dict)

    def look(self) -> dict[str, NewKernels]:
        """Look at what is on offer and stored; series -> the kernels that are new to any of its cells.

        Series that cannot be had are `missing`; raises HostError where that is so of all for the host's sake.
        """
        self._offers = self._offered()
        self._past = self._read()
        found: dict[str, NewKernels] = {}
        for cell in self.plan.cells:
            series = cell.axes[SERIES_AXIS]
            if series not in self._offers:
                continue
            offer = self._offers[series]
            new = new_kernels(offer.kernels, self._past[cell.name], newest=self.newest, is_newer=offer.is_newer)
            self._wanted[cell.name] = [*new.wanted]
            found[series] = _together(found.get(series), new, offer.kernels)
        return found

    def next_round(self) -> tuple[Pick, ...]:
        """Of each cell the oldest kernel that is still to be measured; none: all were. A kernel is picked once."""
        picks = []
        self._past = self._read()
        for cell in self.plan.cells:
            wanted = self._wanted.get(cell.name)
            if wanted:
                picks.append(self._pick(cell, wanted.pop(0)))
        return tuple(picks)

    def plan_of(self, picks: Sequence[Pick]) -> MatrixPlan:
        """What is measured of them, with the waivers that speak of any."""
        cells = tuple(pick.cell for pick in picks)
        waivers = [
            waiver for waiver in self.plan.waivers if any(fnmatchcase(cell.name, waiver.cells) for cell in cells)
        ]
        return replace(self.plan, cells=cells, waivers=tuple(waivers))

    def interrupted(self) -> tuple[Pick, ...]:
        """The cells of the newest night, where it was not finished and each of its cells is still followed; or none.

        Its kernels are kept, whatever is newer by now: what was measured of it is not lost.
        """
        store = self.workspace.store
        newest = next(iter(store.history.matrices(self.plan.title, verb=VERB)), None)
        if newest is None or store.matrices.outcome(newest) is not None:
            return ()
        kept = store.matrices.plan(newest)
        followed = {cell.name: cell for cell in self.plan.cells}
        if kept is None or any(cell.name not in followed for cell in kept.cells):
            return ()
        return tuple(_as_before(followed[cell.name], cell) for cell in kept.cells)

    def _offered(self) -> dict[str, Offer]:
        offers: dict[str, Offer] = {}
        for series in dict.fromkeys(cell.axes[SERIES_AXIS] for cell in self.plan.cells):
            try:
                offers[series] = offer_of(self.workspace, series)
            except (ConfigError, HostError) as error:
                self.missing[series] = error
                self.workspace.progress.note(f"series {series} is left out, the others go on: {error.message}")
        if not offers:
            raise next(iter(self.missing.values()))
        return offers

    def _read(self) -> dict[str, list[Measured]]:
        listed = {series: offer.listed for series, offer in self._offers.items()}
        return past_of(self.workspace, self.plan, listed=listed)

    def _pick(self, cell: Cell, kernel: Known) -> Pick:
        series = cell.axes[SERIES_AXIS]
        offer = self._offers[series]
        baseline = baseline_of(
            kernel,
            offer.kernels,
            self._past[cell.name],
            given=cell.experiment.baseline or None,
            there=lambda known: _there(self.workspace, offer, known),
        )
        experiment = replace(cell.experiment, baseline=baseline.spec, candidate=kernel.spec or series)
        return Pick(cell=replace(cell, experiment=experiment), kernel=kernel, baseline=baseline)


def offer_of(workspace: Workspace, series: str) -> Offer:
    """What there is of a series. Raises ConfigError (NoKernelError where there is nothing), HostError."""
    listed = workspace.kernels.series(series)
    if listed is not None:
        return Offer(kernels=tuple(_of_rung(rung) for rung in listed.rungs), is_newer=listed.is_newer, listed=True)
    try:
        found = _of_record(record_of(workspace.resolve(series)), listed=False)
        kernel = replace(found, spec=found.spec or series)
    except (KernelError, DoesNotApplyError) as error:
        # It does not build: that is what there is to say of it, and it is the matrix's to say.
        workspace.progress.note(f"{series} cannot be had: {error.message}")
        kernel = Known(name=series, version="", identities=frozenset(), spec=series)
    return Offer(kernels=(kernel,), is_newer=lambda _version, _other: True, listed=False)


def past_of(workspace: Workspace, plan: MatrixPlan, *, listed: Mapping[str, bool]) -> dict[str, list[Measured]]:
    """Cell -> what came of it in earlier nights, the newest first. `listed`: as ``Offer.listed``, of each series.

    Nights are read until of every cell a kernel is found that was good; what is before that is not needed.
    """
    store = workspace.store
    past: dict[str, list[Measured]] = {cell.name: [] for cell in plan.cells}
    # Of the cells without a good kernel: whether kernels of theirs are listed.
    wanting = {cell.name: listed[series] for cell in plan.cells if (series := cell.axes[SERIES_AXIS]) in listed}
    for run_id in store.history.matrices(plan.title, verb=VERB):
        if not wanting:
            break
        outcome = store.matrices.outcome(run_id)
        for result in outcome.cells if outcome is not None else ():
            if result.cell not in wanting:
                continue
            measured = _measured(workspace, result, listed=wanting[result.cell])
            if measured is None:
                continue
            past[result.cell].append(measured)
            if measured.good:
                del wanting[result.cell]
    return past


def _measured(workspace: Workspace, result: CellResult, *, listed: bool) -> Measured | None:
    """What a cell of a night says of its kernel; None where the kernel was not measured."""
    if result.verdict is CellVerdict.UNMEASURED or result.candidate is None or result.baseline is None:
        return None
    failed = _failed(workspace.store.run(result.run_id)) if result.run_id is not None else set()
    corrupt = FailKind.DATA in result.fails or Outcome.CORRUPTED in failed
    # A waiver bears with a slower one. Against one whose boots fail nothing can be measured, waived or not.
    good = not failed and (result.exit_code is ExitCode.GOOD or result.verdict is CellVerdict.INCONCLUSIVE)
    return Measured(
        kernel=_of_record(result.candidate, listed=listed),
        against=_of_record(result.baseline, listed=listed),
        good=good and not corrupt,
        corrupt=corrupt,
    )


def _failed(run: Run) -> set[Outcome]:
    """How boots of the candidate ended that say something against it."""
    sound = {Outcome.OK, Outcome.LOST}
    return {
        trial.outcome for trial in run.block_trials if trial.place.arm is Arm.CANDIDATE and trial.outcome not in sound
    }


def _of_rung(rung: Rung) -> Known:
    kernel = rung.kernel
    return Known(
        name=kernel.release,
        version=kernel.version,
        identities=frozenset({_numbered(kernel.release, kernel.version)}),
        spec=rung.spec,
    )


def _of_record(record: KernelRecord, *, listed: bool) -> Known:
    """A kernel that was had: told by its content, and by its numbers where its source lists them."""
    numbers = {_numbered(record.release, record.version)} if listed else set()
    return Known(
        name=record.name,
        version=record.version,
        identities=frozenset({record.digest, *numbers}),
        spec=record.lasting_spec or (record.spec if listed else None),
    )


def _numbered(release: str, version: str) -> str:
    return f"{release}={version}"


def _there(workspace: Workspace, offer: Offer, known: Known) -> bool:
    """Whether a kernel can still be had: on offer, in the cache, or built again."""
    if not offer.listed or any(known.same(other) for other in offer.kernels):
        return True
    assert known.spec is not None, "asked of those that can be named"
    try:
        workspace.kernels.show(known.spec)
    except (ConfigError, HostError):
        return False
    return True


def _together(one: NewKernels | None, other: NewKernels, offered: Iterable[Known]) -> NewKernels:
    """What is new to either of two cells, in the order on offer."""
    if one is None:
        return other
    wanted = {id(kernel) for kernel in (*one.wanted, *other.wanted)}
    passed = {id(kernel) for kernel in (*one.passed_over, *other.passed_over)} - wanted
    kernels = [*offered]
    return NewKernels(
        wanted=tuple(kernel for kernel in kernels if id(kernel) in wanted),
        passed_over=tuple(kernel for kernel in kernels if id(kernel) in passed),
    )


def _as_before(followed: Cell, kept: Cell) -> Pick:
    """A followed cell with the kernels that an unfinished night has."""
    asked = kept.experiment
    experiment = replace(followed.experiment, baseline=asked.baseline, candidate=asked.candidate)
    kernel = Known(name=asked.candidate, version="", identities=frozenset(), spec=asked.candidate)
    return Pick(
        cell=replace(followed, experiment=experiment),
        kernel=kernel,
        baseline=Baseline(spec=asked.baseline, name=asked.baseline, choice=Choice.AS_BEGUN),
    )
