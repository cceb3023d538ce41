"""Every night: what is new of each series is measured against its last good kernel, and changes are told once."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from harness.config import Request, load_workloads
from harness.config.matrix import MatrixFile, over_series, select
from harness.errors import ConfigError, ExitCode, HostError, KabError
from harness.history.nights import NewKernels
from harness.host.hooks import hook_words, run_hook
from harness.host.locks import holder, try_lock
from harness.lab.alarms import AlarmStory, searched_for, story_of
from harness.lab.bench import BenchChoice, OpenBench
from harness.lab.confirming import screen_and_confirm, suspected
from harness.lab.matrix import measure_matrix
from harness.lab.matrixfiles import check_end
from harness.lab.nightlyrequest import NightlyRequest
from harness.lab.nights import VERB, Nights, Pick
from harness.lab.search import search
from harness.lab.searchrequest import SearchRequest
from harness.lab.workspace import Workspace
from harness.model.alarm import Alarm
from harness.model.bisection import EdgeWish
from harness.model.matrix import SERIES_AXIS, MatrixOutcome, worst
from harness.model.run import Run
from harness.report.wording import resolved_spec

# For a command that is told of an alarm, in seconds.
HOOK_TIMEOUT_S = 300.0
# Kernels that are passed over and told by name.
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A search for the change of an alarm."""

    alarm: Alarm
    run: Run | None
    # What it found, or why it was not made, in a sentence.
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NightlyResult:
    """What a night came to."""

    # What was new, and what each kernel was measured against, in sentences.
    notes: tuple[str, ...]
    # A matrix for each round, the last one with the newest kernels; none: nothing was new.
    rounds: tuple[tuple[Run, MatrixOutcome], ...] = ()
    # Series that there is nothing of, and kernels that could not be had any more when their turn came.
    troubles: tuple[KabError, ...] = ()
    # Changes that were confirmed tonight.
    alarms: tuple[AlarmStory, ...] = ()
    searches: tuple[Searched, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """By a gate's rules, over all rounds."""
        troubles = (ExitCode.HOST if isinstance(error, HostError) else ExitCode.USAGE for error in self.troubles)
        return worst((*(outcome.exit_code for _, outcome in self.rounds), *troubles))


def nightly(workspace: Workspace, wanted: NightlyRequest, *, bench: BenchChoice) -> NightlyResult:
    """As Lab.nightly."""
    words = hook_words(wanted.on_change) if wanted.on_change is not None else ()
    whole = over_series(wanted.file, catalogue=load_workloads())
    for series in wanted.file.series:
        workspace.kernels.parse(series)
    # Those of cells that have nothing new tonight, too.
    check_end(whole, {})
    plan = replace(whole, cells=select(whole.cells, wanted.only, wanted.shard))
    if not plan.cells:
        return NightlyResult(notes=(f"none of the {len(whole.cells)} cells is in shard {wanted.shard}",))
    with _alone(workspace, plan.title), ExitStack() as stack:
        night = _Night(
            workspace=workspace,
            wanted=wanted,
            nights=Nights(workspace=workspace, plan=plan, newest=wanted.file.newest),
            choice=bench,
            stack=stack,
            on_change=words,
        )
        night.measure()
        return night.result()


def _place(file: MatrixFile) -> Request:
    return Request(accelerator=file.accelerator, connect=file.connect)


@contextmanager
def _alone(workspace: Workspace, title: str) -> Iterator[None]:
    """One process at a time measures the nights of one matrix. Raises HostError."""
    name = hashlib.sha256(title.encode()).hexdigest()[:32]
    path = workspace.paths.state / "locks" / f"nightly-{name}.lock"
    held = try_lock(path)
    if held is None:
        raise HostError(
            f"another kab{holder(path)} measures the nights of {title} already",
            remedy="Let it finish, or end it and give the command again: it goes on from there.",
        )
    with held:
        yield


@dataclass(slots=True, kw_only=True)
class _Night:
    """One call of `kab nightly`."""

    workspace: Workspace
    wanted: NightlyRequest
    nights: Nights
    choice: BenchChoice
    # Closes what the night opens.
    stack: ExitStack
    on_change: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    rounds: list[tuple[Run, MatrixOutcome]] = field(default_factory=list)
    stories: list[AlarmStory] = field(default_factory=list)
    searches: list[Searched] = field(default_factory=list)
    troubles: list[KabError] = field(default_factory=list)
    _bench: OpenBench | None = None

    def measure(self) -> None:
        """Go on with what was interrupted; then measure what is new, round by round. Raises KabError."""
        begun = self.nights.interrupted()
        if begun:
            self._round(begun)
        found = self.nights.look()
        self._tell_new(found)
        while picks := self.nights.next_round():
            try:
                self._round(picks)
            except (ConfigError, HostError) as error:
                if not self.rounds:
                    raise
                # What was measured is told all the same; the same command goes on.
                self.troubles.append(error)
                self._note(f"the night ends here: {error.message}")
                break
        if not self.rounds:
            self._tell_nothing()

    def result(self) -> NightlyResult:
        """What it came to."""
        return NightlyResult(
            notes=tuple(self.notes),
            rounds=tuple(self.rounds),
            troubles=(*self.nights.missing.values(), *self.troubles),
            alarms=tuple(self.stories),
            searches=tuple(self.searches),
        )

    def _round(self, picks: Sequence[Pick]) -> None:
        for sentence in _sentences(picks):
            self._note(sentence)
        plan = self.nights.plan_of(picks)
        run, outcome = measure_matrix(
            self.workspace,
            plan,
            verb=VERB,
            place=_place(self.wanted.file),
            bench=replace(self.choice, given=self.bench),
            destroy_data=self.wanted.destroy_data,
            fresh=False,
            seed=None,
            command=self.wanted.command,
        )
        self.rounds.append((run, outcome))
        self._screen(run)

    @property
    def bench(self) -> OpenBench:
        """One for the whole night, opened when the first guest is to boot."""
        if self._bench is None:
            self._bench = self.stack.enter_context(self.choice.open(_place(self.wanted.file)))
        return self._bench

    def _screen(self, run: Run) -> None:
        """Have suspected changes confirmed, and tell those that are."""
        alarms = screen_and_confirm(self.workspace, run, bench=self.bench, destroy_data=self.wanted.destroy_data)
        for alarm in alarms:
            story = story_of(self.workspace, alarm)
            self.stories.append(story)
            self._hook(story)
            if self.wanted.bisect:
                self.searches.append(self._search(alarm))

    def _hook(self, story: AlarmStory) -> None:
        """Run the user's command; that it fails changes nothing."""
        if not self.on_change:
            return
        facts = alarm_facts(story)
        variables = {
            f"KAB_ALARM_{key.upper()}": str(value)
            for key, value in facts.items()
            if key != "text" and value is not None
        }
        try:
            run_hook(
                self.on_change,
                stdin=f"{json.dumps(facts, indent=2)}\n".encode(),
                env={**self.workspace.environment, **variables},
                timeout_s=HOOK_TIMEOUT_S,
            )
        except HostError as error:
            self._note(f"the command for alarm {story.alarm.id} failed, and nobody may know of it: {error.message}")

    def _search(self, alarm: Alarm) -> Searched:
        """Look for the change between both kernels of an alarm; trouble with it is told and ends nothing."""
        try:
            asked = search_of(self.workspace, alarm)
            run, outcome = search(
                self.workspace,
                asked,
                tree=None,
                bench=replace(self.choice, given=self.bench),
                destroy_data=self.wanted.destroy_data,
                command=(),
            )
        except KabError as error:
            return Searched(alarm=alarm, run=None, found=f"no search was made: {error.message}")
        return Searched(alarm=alarm, run=run, found=f"{outcome.answer}: {outcome.reason}")

    def _tell_new(self, found: dict[str, NewKernels]) -> None:
        for series, new in found.items():
            if new.passed_over:
                names = [kernel.name for kernel in new.passed_over]
                told = ", ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)}, {names[0]} to {names[-1]}"
                self._note(f"{series}: new and passed over, as there are newer ones (nightly: newest): {told}")

    def _tell_nothing(self) -> None:
        """Nothing was new; what a night that was killed had left to confirm is confirmed."""
        store = self.workspace.store
        newest = next(iter(store.history.matrices(self.nights.plan.title, verb=VERB)), None)
        if newest is None:
            self._note("nothing is on offer")
            return
        run = store.run(newest)
        self._note(f"nothing is new since {run.created:%Y-%m-%d %H:%M} UTC (run {run.id}): nothing is measured")
        if suspected(self.workspace, run):
            self._screen(run)

    def _note(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.workspace.progress.note(sentence)


def alarm_facts(story: AlarmStory) -> dict[str, str | float | None]:
    """What a command is told of an alarm: as JSON, and as variables KAB_ALARM_*."""
    alarm = story.alarm
    return {
        "id": alarm.id,
        "matrix": alarm.name.matrix,
        "series": alarm.name.series,
        "cell": alarm.name.cell,
        "metric": alarm.name.metric,
        "change": "worse" if alarm.worse else "better",
        "before": resolved_spec(alarm.before),
        "after": resolved_spec(alarm.after),
        "ratio": alarm.comparison.ratio,
        "confirmed_by": alarm.confirmed_by,
        "bisect": story.bisect,
        "repeat": story.repeat,
        "text": story.text(),
    }


def search_of(workspace: Workspace, alarm: Alarm) -> SearchRequest:
    """The search for the change of an alarm, with guest, disk and workload of the A/B that confirmed it.

    Raises ConfigError where that was removed.
    """
    return SearchRequest(
        experiment=searched_for(workspace.store.run(alarm.confirmed_by)),
        ends=(resolved_spec(alarm.before), resolved_spec(alarm.after)),
        edges=EdgeWish.REMOVED if alarm.worse else EdgeWish.RESTORED,
    )


def _sentences(picks: Iterable[Pick]) -> list[str]:
    """Which kernels are measured, against which, and why; the cells of a series that are alike told once."""
    cells: dict[tuple[str, str, str, str], int] = {}
    for pick in picks:
        key = (pick.cell.axes[SERIES_AXIS], pick.kernel.name, pick.baseline.name, str(pick.baseline.choice))
        cells[key] = cells.get(key, 0) + 1
    return [
        f"{series}: {kernel} in {count} cell{'s' if count > 1 else ''}, against {baseline}: {why}"
        for (series, kernel, baseline, why), count in cells.items()
    ]
