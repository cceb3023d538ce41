"""After the nights: what the series of a matrix make suspect, put to interleaved A/Bs of the two kernels beside it.

Nobody is told of what no A/B confirmed. What one refuted is remembered. What the budget leaves over comes again with
the next night, while it is recent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from harness.config import ab_command, load_workloads, request_of
from harness.errors import ConfigError, HostError, KernelError
from harness.lab.bench import OpenBench, run_conditions, runner
from harness.lab.workspace import Workspace
from harness.model.alarm import Alarm, AlarmEvent, AlarmState, Asked, Change, Night, SeriesName
from harness.model.experiment import Experiment
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, GatePolicy
from harness.model.run import KernelRecord, Parent, Run, RunState, SubrunRole
from harness.model.verdict import Decision, Verdict
from harness.model.workload import Metric
from harness.report.wording import resolved_spec
from harness.run.ab import AbLoop, AbRequest
from harness.stats.changepoints import confirmation, confirmed, minimal_effect, screen
from harness.stats.nights import places_of, same_change, told_places
from harness.store.alarms import alarm_id
from harness.store.history import followed
from harness.workloads.registry import metrics_of

# Nights of a series that are looked at, and newest ones among which a change must have begun: of an old one somebody
# knows, or nobody wants to. benchmarks/changepoint_sim.py has the same.
WINDOW, RECENT = 180, 30
# Confirming A/Bs in one night, strongest suspicions first.
MAX_CONFIRMATIONS = 5
# Of a run's place, in characters: the column that holds it is no larger.
_LONGEST_PLACE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """A suspected change of a cell, by the metric that shows it best."""

    cell: Cell
    name: SeriesName
    change: Change
    # Other metrics of the same boots that seem to change there, too.
    others: tuple[tuple[SeriesName, Change], ...] = ()
    # The alarm that was fixed, and does not look so.
    again: Alarm | None = None

    @property
    def place(self) -> str:
        """Where in its matrix the confirming A/B stands."""
        return f"{self.cell.name} {self.name.metric}"[:_LONGEST_PLACE]


def screen_and_confirm(
    workspace: Workspace,
    run: Run,
    *,
    bench: OpenBench,
    max_confirmations: int = MAX_CONFIRMATIONS,
    destroy_data: str = "",
) -> tuple[Alarm, ...]:
    """As Lab.screen_and_confirm: the alarms that are new with the matrix `run`, those that are new again among them."""
    found = []
    asked_places: set[str] = set()
    for suspicion in suspected(workspace, run):
        if len(asked_places) >= max_confirmations:
            workspace.progress.note("more changes are suspected than may be confirmed tonight: the next night asks")
            break
        if suspicion.place in asked_places:
            continue
        asked_places.add(suspicion.place)
        try:
            alarm = confirm(workspace, run, suspicion, bench=bench, destroy_data=destroy_data)
        except (ConfigError, KernelError) as error:
            workspace.progress.note(f"a change of {suspicion.place} cannot be confirmed: {error.message}")
        except HostError as error:
            # The matrix is measured; what is suspected comes again.
            workspace.progress.note(f"the host lets no change be confirmed: {error.message}")
            break
        else:
            found += [alarm] if alarm is not None else []
    return tuple(found)


def suspected(workspace: Workspace, run: Run) -> tuple[Suspicion, ...]:
    """What the series of the matrix `run` make suspect with its nights, the clearest first. Raises ConfigError."""
    store = workspace.store
    plan = store.matrices.plan(run.id)
    if plan is None:
        raise ConfigError(f"run {run.id} is no matrix", remedy="Series are of `kab run`, `kab gate` and `kab nightly`.")
    measured = set(store.matrices.cells(run.id).values())
    found: list[Suspicion] = []
    for cell in plan.cells:
        name, series = followed(cell)
        watch = _Watch.of(workspace, plan.title, cell, name, series)
        changes = [
            change
            for metric in watched(cell.experiment, plan.policy)
            for change in watch.changes(workspace, metric, measured)
        ]
        found += _grouped(cell, changes, watch.nights)
    return tuple(sorted(found, key=lambda suspicion: -suspicion.change.score))


def watched(experiment: Experiment, policy: GatePolicy | None) -> tuple[Metric, ...]:
    """Metrics whose series are screened: the one that decides, those a gate names, else each speed that may decide."""
    metrics = metrics_of(experiment.workload)
    patterns = tuple(policy.margins) if policy is not None else ()
    if experiment.metric in metrics:
        names: Sequence[str] = (experiment.metric,)
    elif patterns:
        names = [name for name in metrics if any(fnmatchcase(name, pattern) for pattern in patterns)]
    else:
        names = [name for name in experiment.workload.deciding if name in metrics and not metrics[name].witness]
    return tuple(metrics[name] for name in names)


def confirm(
    workspace: Workspace, run: Run, suspicion: Suspicion, *, bench: OpenBench, destroy_data: str = ""
) -> Alarm | None:
    """Make the A/B of a suspicion inside the matrix `run`, or take it where it is made; the alarm if it confirms.

    What came of it is stored. Raises ConfigError and KernelError where a kernel cannot be had any more, HostError.
    """
    made = _stored(workspace, run, suspicion)
    shown, decision = made or _compare(workspace, run, suspicion, bench=bench, destroy_data=destroy_data)
    says = confirmed(suspicion.change, decision)
    now = datetime.now(UTC)
    alarm = _told(workspace, suspicion, shown, decision, now) if says else None
    about = ((suspicion.name, suspicion.change), *suspicion.others)
    for name, change in about:
        moved = _moved(decision, name.metric, change)
        # Another metric that moved while this one did not is asked for by itself.
        if says or not moved:
            asked = Asked(name=name, change=change, run_id=shown.id, at=now, confirmed=moved)
            workspace.store.alarms.ask(asked)
    words = "confirmed" if says else "not confirmed"
    workspace.progress.note(
        f"{suspicion.place}, {suspicion.change.before.name} to {suspicion.change.after.name}: a suspected change was "
        f"{words} by {shown.id}"
    )
    return alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watch:
    """A cell over the nights: what was told and asked of it."""

    title: str
    cell: Cell
    name: str
    series: str
    alarms: tuple[Alarm, ...]
    asked: tuple[Asked, ...]
    # Digest of a kernel -> when its last night was, of any metric.
    nights: dict[str, datetime]

    @classmethod
    def of(cls, workspace: Workspace, title: str, cell: Cell, name: str, series: str) -> "_Watch":
        store = workspace.store.alarms
        return cls(
            title=title,
            cell=cell,
            name=name,
            series=series,
            alarms=store.all(matrix=title, cell=name, series=series).alarms,
            asked=store.asked(matrix=title, cell=name, series=series),
            nights={},
        )

    def changes(
        self, workspace: Workspace, metric: Metric, measured: set[str]
    ) -> Iterator[tuple[SeriesName, Change, Alarm | None]]:
        """Suspected changes of one metric, where its newest night is of this run."""
        name = SeriesName(matrix=self.title, cell=self.name, series=self.series, metric=metric.name)
        found = workspace.store.history.nights(
            metric=metric.name, matrix=self.title, cell=self.name, series=self.series
        )
        nights = found.get(name, ())[-WINDOW:]
        if not nights or nights[-1].run_id not in measured:
            return
        places = places_of(nights)
        self.nights.update({night.kernel.digest: night.created for night in nights})
        asked = [one for one in self.asked if one.name == name]
        minimal = minimal_effect(self.cell.experiment)
        for change in screen(
            nights,
            metric,
            minimal=minimal,
            told=told_places(self.alarms, nights),
            asked=asked,
            since=len(nights) - RECENT,
        ):
            if not any(same_change(alarm, change, places) for alarm in self.alarms):
                yield name, change, None
        for alarm in self.alarms:
            again = still_there(alarm, nights, metric, minimal=minimal, asked=asked)
            if again is not None:
                yield name, again, alarm


def still_there(
    alarm: Alarm, nights: Sequence[Night], metric: Metric, *, minimal: float, asked: Sequence[Asked]
) -> Change | None:
    """Where an alarm was closed as fixed: the change from before it to the nights after that, if one is suspected."""
    about = {alarm.name.metric, *(other.metric for other in alarm.others)}
    if alarm.state is not AlarmState.FIXED or metric.name not in about:
        return None
    closed = alarm.events[-1].at
    place = next(iter(told_places((alarm,), nights)), None)
    if place is None:
        return None
    before, after = nights[:place], [night for night in nights[place:] if night.created > closed]
    if not after:
        return None
    found = screen((*before, *after), metric, minimal=minimal, asked=asked, since=len(before) - 1)
    # What began later is a change of its own.
    here = (change for change in found if change.worse is alarm.worse and change.index <= len(before) + 1)
    return next(here, None)


def _grouped(
    cell: Cell, changes: Sequence[tuple[SeriesName, Change, Alarm | None]], nights: Mapping[str, datetime]
) -> list[Suspicion]:
    """One suspicion for all metrics of a cell that seem to change at one place, by the one that shows it best."""
    groups: list[list[tuple[SeriesName, Change, Alarm | None]]] = []
    for one in sorted(changes, key=lambda item: -item[1].score):
        for group in groups:
            if group[0][2] == one[2] and _overlap(group[0][1], one[1], nights):
                group.append(one)
                break
        else:
            groups.append([one])
    return [
        Suspicion(
            cell=cell,
            name=group[0][0],
            change=group[0][1],
            others=tuple((name, change) for name, change, _ in group[1:]),
            again=group[0][2],
        )
        for group in groups
    ]


def _overlap(one: Change, other: Change, nights: Mapping[str, datetime]) -> bool:
    first = tuple(nights[kernel.digest] for kernel in (one.before, one.after))
    second = tuple(nights[kernel.digest] for kernel in (other.before, other.after))
    return first[0] <= second[1] and second[0] <= first[1]


def _stored(workspace: Workspace, run: Run, suspicion: Suspicion) -> tuple[Run, Decision] | None:
    """The A/B of a suspicion, where a killed process had made it to its end."""
    made = workspace.store.matrices.cells(run.id, SubrunRole.CONFIRMATION).get(suspicion.place)
    if made is None:
        return None
    found = workspace.store.run(made)
    wanted = (suspicion.change.before.digest, suspicion.change.after.digest)
    if (found.baseline.digest, found.candidate.digest) != wanted:
        raise ConfigError(
            f"run {run.id} has made another comparison for {suspicion.place}", remedy="The next night asks again."
        )
    decision = workspace.store.decision(made) if found.state is RunState.FINISHED else None
    return None if decision is None else (found, decision)


def _compare(
    workspace: Workspace, run: Run, suspicion: Suspicion, *, bench: OpenBench, destroy_data: str
) -> tuple[Run, Decision]:
    change = suspicion.change
    baseline, candidate = _kernel(workspace, change.before), _kernel(workspace, change.after)
    experiment = replace(
        confirmation(suspicion.cell.experiment, suspicion.name.metric),
        baseline=resolved_spec(change.before),
        candidate=resolved_spec(change.after),
    )
    bench.check(experiment)
    command = ab_command(request_of(experiment, load_workloads()), destroy_data=destroy_data)
    loop = AbLoop(runner=runner(workspace, bench, baseline), metrics=metrics_of(experiment.workload))
    return loop.execute(
        AbRequest(
            experiment=experiment,
            baseline=baseline,
            candidate=candidate,
            conditions=run_conditions(bench, baseline, experiment.workload),
            host=bench.host,
            command=command,
            parent=Parent(run_id=run.id, role=SubrunRole.CONFIRMATION, place=suspicion.place),
        )
    )


def _kernel(workspace: Workspace, record: KernelRecord) -> Kernel:
    """The very kernel of a night. Raises ConfigError where its spec means another one by now."""
    found = workspace.resolve(resolved_spec(record))
    if found.digest != record.digest:
        raise ConfigError(
            f"{resolved_spec(record)} is not the kernel any more that was measured as {record.name}",
            remedy="Name kernels of nightly runs by specs that last, such as debian:.",
        )
    return found


def _moved(decision: Decision, metric: str, change: Change) -> bool:
    found = decision.comparisons.get(metric)
    return found is not None and found.verdict is (Verdict.SLOWER if change.worse else Verdict.FASTER)


def _told(workspace: Workspace, suspicion: Suspicion, shown: Run, decision: Decision, now: datetime) -> Alarm | None:
    """Store a confirmed change; the alarm that is new by it. None where another process has told of it."""
    store, change = workspace.store.alarms, suspicion.change
    if suspicion.again is not None:
        return _reopened(workspace, suspicion.again, change, shown, now)
    metric = suspicion.name.metric
    alarm = Alarm(
        id=alarm_id(suspicion.name, change.before, change.after, worse=change.worse),
        name=suspicion.name,
        before=change.before,
        after=change.after,
        confirmed_by=shown.id,
        comparison=decision.comparisons[metric],
        worse=change.worse,
        events=(AlarmEvent(state=AlarmState.NEW, at=now),),
        others=tuple(
            found
            for name, found in decision.comparisons.items()
            if name != metric and found.verdict in {Verdict.FASTER, Verdict.SLOWER}
        ),
    )
    if store.tell(alarm):
        return alarm
    stored = store.alarm(alarm.id)
    return _reopened(workspace, stored, change, shown, now) if stored.state is AlarmState.FIXED else None


def _reopened(workspace: Workspace, alarm: Alarm, change: Change, shown: Run, now: datetime) -> Alarm:
    note = f"confirmed again by {shown.id}: {change.before.name} against {change.after.name}"
    return workspace.store.alarms.append(alarm.id, AlarmEvent(state=AlarmState.NEW, at=now, note=note))
