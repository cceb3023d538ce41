"""Nights of a series: where they cannot be compared, and which changes are one.

Without arrays, so that what only tells of them is quick.
"""

from collections.abc import Mapping, Sequence

from harness.model.alarm import Alarm, Break, Change, Night


def breaks(nights: Sequence[Night]) -> tuple[Break, ...]:
    """Each night whose conditions are not those of the night before, with what is another."""
    found = []
    for index in range(1, len(nights)):
        old, new = dict(nights[index - 1].conditions), dict(nights[index].conditions)
        changed = tuple(
            (name, old.get(name, ""), new.get(name, ""))
            for name in dict.fromkeys((*old, *new))
            if old.get(name, "") != new.get(name, "")
        )
        if changed:
            found.append(Break(index=index, changed=changed))
    return tuple(found)


def places_of(nights: Sequence[Night]) -> dict[str, int]:
    """Digest of each kernel -> the last of its nights."""
    return {night.kernel.digest: index for index, night in enumerate(nights)}


def same_change(alarm: Alarm, change: Change, places: Mapping[str, int]) -> bool:
    """Whether an alarm has told of a change of its cell: the same direction, and kernels that overlap or touch.

    `places`: see ``places_of``. Where a kernel's night is not among them, only the very same two kernels are.
    """
    if alarm.worse is not change.worse:
        return False
    ends = tuple(kernel.digest for kernel in (alarm.before, alarm.after, change.before, change.after))
    if ends[:2] == ends[2:]:
        return True
    if not all(digest in places for digest in ends):
        return False
    told_before, told_after, before, after = (places[digest] for digest in ends)
    return before <= told_after and told_before <= after


def told_places(alarms: Sequence[Alarm], nights: Sequence[Night]) -> tuple[int, ...]:
    """The first nights after changes that are told, in order: a series is another one from there on."""
    first: dict[str, int] = {}
    for index, night in enumerate(nights):
        first.setdefault(night.kernel.digest, index)
    return tuple(sorted(first[alarm.after.digest] for alarm in alarms if alarm.after.digest in first))
