"""Alarms as they are told, and what people make of them; nothing here boots (harness.lab.confirming does)."""

import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.errors import ConfigError
from harness.lab.workspace import Workspace
from harness.model.alarm import Alarm, AlarmEvent, AlarmState, due_after
from harness.model.run import Run
from harness.report.history.alarmtext import alarm_text
from harness.report.wording import repeat_command, resolved_spec

if TYPE_CHECKING:
    from harness.config import Request
    from harness.store.alarms import AlarmListing

# Of an owner and of a note, in characters.
_LONGEST_OWNER, _LONGEST_NOTE = 200, 2000
CLOSED = (AlarmState.FIXED, AlarmState.NOT_A_BUG)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmStory:
    """An alarm with what can be done about it."""

    alarm: Alarm
    # The search between the two kernels, and the A/B that confirmed it again; the latter "" where its run is gone.
    bisect: str
    repeat: str

    def text(self, now: datetime | None = None) -> str:
        """For a terminal."""
        return alarm_text(self.alarm, bisect=self.bisect, repeat=self.repeat, now=now or datetime.now(UTC))


def list_alarms(workspace: Workspace, *, closed: bool) -> "AlarmListing":
    """As Lab.alarms: those that are open, or all."""
    listing = workspace.store.alarms.all()
    return replace(listing, alarms=tuple(alarm for alarm in listing.alarms if closed or alarm.open))


def alarm_story(workspace: Workspace, wanted: str) -> AlarmStory:
    """As Lab.alarm."""
    return story_of(workspace, workspace.store.alarms.alarm(wanted))


def story_of(workspace: Workspace, alarm: Alarm) -> AlarmStory:
    """An alarm with its commands. Raises HostError where the store does not answer."""
    run = _confirming_run(workspace, alarm)
    return AlarmStory(
        alarm=alarm,
        bisect=bisect_command(alarm, run),
        repeat=repeat_command(run) if run is not None else "",
    )


def bisect_command(alarm: Alarm, run: Run | None) -> str:
    """The `kab bisect` over the kernels between both of an alarm, with the guest, disk and workload of its A/B."""
    from harness.config import words_of

    ends = (resolved_spec(alarm.before), resolved_spec(alarm.after))
    words = ("--metric", alarm.name.metric) if run is None else words_of(searched_for(run))
    edges = "removed" if alarm.worse else "restored"
    return shlex.join(["kab", "bisect", *ends, *words, "--edges", edges])


def searched_for(run: Run) -> "Request":
    """What a search between the kernels of a confirming A/B measures: its guest, disk and workload, and its metric."""
    from harness.config import load_workloads, request_of

    asked = request_of(run.experiment, load_workloads())
    return replace(asked, baseline=None, candidate=None, max_boots=None, seed=None)


def acknowledge(workspace: Workspace, wanted: str, *, owner: str, due: datetime | None, note: str) -> Alarm:
    """As Lab.acknowledge."""
    now = datetime.now(UTC)
    if due is not None and due < now:
        raise ConfigError(f"{due:%Y-%m-%d} is over: an alarm cannot be due then", remedy="Name a day that is to come.")
    event = AlarmEvent(
        state=AlarmState.ACKNOWLEDGED,
        at=now,
        owner=_checked("owner", owner, _LONGEST_OWNER, needed=True),
        note=_checked("note", note, _LONGEST_NOTE),
        due=due or due_after(now),
    )
    return workspace.store.alarms.append(wanted, event)


def close_alarm(workspace: Workspace, wanted: str, *, state: AlarmState, note: str) -> Alarm:
    """As Lab.close_alarm."""
    if state not in CLOSED:
        raise ConfigError(f"an alarm is not closed as {state}", remedy="It is fixed, or not-a-bug.")
    text = _checked("note", note, _LONGEST_NOTE, needed=True)
    return workspace.store.alarms.append(wanted, AlarmEvent(state=state, at=datetime.now(UTC), note=text))


def _checked(what: str, text: str, most: int, *, needed: bool = False) -> str:
    """A person's words, without space around. Raises ConfigError for too many, or none."""
    text = text.strip()
    if needed and not text:
        raise ConfigError(f"the {what} is empty", remedy="Others will want to know: say it.")
    if len(text) > most:
        raise ConfigError(
            f"the {what} has {len(text)} characters, {most} at most", remedy="Put the rest where it can be linked to."
        )
    return text


def _confirming_run(workspace: Workspace, alarm: Alarm) -> Run | None:
    """The A/B that confirmed it; None where it was removed or cannot be read."""
    from harness.store.damage import DamagedError

    try:
        run = workspace.store.run(alarm.confirmed_by)
    except (ConfigError, DamagedError):
        return None
    return run if run.id == alarm.confirmed_by else None
