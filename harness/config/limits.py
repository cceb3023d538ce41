"""What the parameters of a workload may be: refused before any boot, with what is allowed.

A workload is free in what it makes of its parameters, so that only what holds for every one is checked here, and what
its kind says. What the jobs that come of them hold, the kind checks (`WorkloadKind.check`).
"""

from collections.abc import Mapping

from harness.errors import ConfigError
from harness.model.workload import Parameter, Workload
from harness.parse.units import size_text
from harness.workloads.registry import kind_of

# Programs count in 64 bits; nothing that is counted or sized comes near.
_LARGEST = 2**60


def check_parameters(workload: Workload, default: Workload, places: Mapping[str, str]) -> None:
    """Raise ConfigError for a parameter of `workload`, a changed `default`, that cannot work.

    `places`: who says a parameter ("--set jobs"); those that nobody changed are the workload's own.
    """
    for name, value in workload.parameters.items():
        wrong = _wrong(name, value, default.parameters[name])
        if wrong:
            where = places.get(name, f"workload {workload.name}: {name}")
            raise ConfigError(f"{where}: {_shown(value)} {wrong[0]}", remedy=wrong[1])
    if misfit := kind_of(workload).misfit(workload):
        name = misfit.parameter
        where = places.get(name, f"workload {workload.name}: {name}")
        raise ConfigError(f"{where}: {misfit.message}", remedy=misfit.remedy)


def _wrong(name: str, value: Parameter, default: Parameter) -> tuple[str, str] | None:
    """What is wrong with a value, and what is allowed; None for one that may work."""
    if isinstance(value, str):
        if not value.isprintable():
            return "holds a line feed or another control character", "Give one line of plain text."
        if default and not value.strip():
            return "is empty", f"Give a text, such as {default!r}."
        return None
    if isinstance(value, bool):
        return None
    if value > _LARGEST:
        return "is too large", f"At most {size_text(_LARGEST)}."
    # A 0 means "none" where the workload itself has one (files: 0 of a log that the job makes itself).
    if value == 0 and default != 0:
        return "is too small", "Give a number of more than 0."
    if name.endswith("percent") and value > 100:
        return "is too large", "Give a number up to 100."
    return None


def _shown(value: Parameter) -> str:
    return repr(value[:80]) if isinstance(value, str) else str(value)
