"""From one configuration to another in single steps: a line that a search can halve.

Each rung is the good configuration with the first so many differing options as the bad one has them. Kconfig keeps
the dependencies: what a step wishes for may be lost until a later step brings what it depends on. The order keeps that
rare, and what the step at an edge did is read from the resulting configurations, not from the wish.
"""

from collections.abc import Mapping, Sequence

from harness.model.kconfig import UNSET, ConfigOption, OptionChange, OptionEffect


def order_changes(changes: Sequence[OptionChange]) -> tuple[OptionChange, ...]:
    """The order in which to make `changes`, which come in the order of Kconfig: parents before children.

    Those of one subsystem (top menu) stay together. Within it, options are first turned on, or given another value,
    parents first; then turned off, children first.
    """
    subsystems = list(dict.fromkeys(_subsystem(change) for change in changes))
    ordered: list[OptionChange] = []
    for subsystem in subsystems:
        inside = [change for change in changes if _subsystem(change) == subsystem]
        ordered += [change for change in inside if not change.turns_off]
        ordered += [change for change in reversed(inside) if change.turns_off]
    return tuple(ordered)


def effect_of(
    steps: Sequence[OptionChange],
    position: int,
    before: Mapping[str, ConfigOption],
    after: Mapping[str, ConfigOption],
) -> OptionEffect:
    """What ``steps[position]`` did, from the resulting configurations (after olddefconfig) of its two rungs."""
    step = steps[position]
    changed = {
        name: OptionChange(
            name=name,
            good=_value(before, name),
            bad=_value(after, name),
            menu=(after if name in after else before)[name].menu,
        )
        for name in dict.fromkeys((*after, *before))
        if _value(before, name) != _value(after, name)
    }
    enabled = [
        earlier
        for earlier in steps[:position]
        if earlier.name in changed and changed[earlier.name].bad == earlier.bad and earlier.name != step.name
    ]
    told = {step.name, *(earlier.name for earlier in enabled)}
    return OptionEffect(
        step=step,
        took=step.name in changed and _value(after, step.name) == step.bad,
        enabled=tuple(enabled),
        derived=tuple(change for name, change in changed.items() if name not in told),
    )


def _subsystem(change: OptionChange) -> str:
    return change.menu[0] if change.menu else ""


def _value(options: Mapping[str, ConfigOption], name: str) -> str:
    return options[name].value if name in options else UNSET
