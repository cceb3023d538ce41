"""The words of a command line that ask for an experiment: the inverse of reading options, by the same table of keys.

What is at its default is left out, so that commands stay short; kernels come first.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness.config.document import Scalar
from harness.config.experiment import DEFAULT_WORKLOAD, KEYS, Request
from harness.config.workloads import load_workload
from harness.errors import KabError
from harness.model.experiment import Experiment
from harness.model.guest import GuestSpec
from harness.model.workload import Parameter, Workload
from harness.parse.units import duration_text, size_text

_KERNELS = ("baseline", "candidate")
_WHERE = "a stored experiment"
# Attributes of Request that are called so in Experiment, and those that are its guest's.
_WHOLE = ("disk", "filesystem", "margin", "error", "max_boots", "seed")
_GUEST = tuple(field.name for field in fields(GuestSpec))
# What `--set` reaches besides parameters: attribute of Workload, and its text.
_TIMING: Mapping[str, tuple[str, Any]] = {
    "warmup": ("warmup_s", duration_text),
    "runtime": ("runtime_s", duration_text),
    "iterations": ("iterations", str),
}


def words_of(request: Request) -> tuple[str, ...]:
    """The words that `request_from_options` reads as `request`: its kernels, then an option for each thing it says."""
    kernels = tuple(text for key in _KERNELS if (text := getattr(request, key)) is not None)
    return (*kernels, *(word for key in KEYS if key not in _KERNELS for word in _option(request, key)))


def ab_command(request: Request, *, destroy_data: str = "") -> tuple[str, ...]:
    """The whole `kab ab` that asks for `request`, wherever its results go."""
    return ("kab", "ab", *words_of(replace(request, json=None, html=None)), *consent_words(destroy_data))


def consent_words(destroy_data: str) -> tuple[str, ...]:
    """The words that allow to lose what is on a device; none where there is none to lose."""
    return ("--destroy-data", destroy_data) if destroy_data else ()


def request_of(experiment: Experiment, catalogue: Mapping[str, Workload]) -> Request:
    """What `build_experiment` makes `experiment` of, with all left open that is at its default.

    A workload that is neither in the catalogue nor in the file that it came of, or not any more as it was, is named all
    the same: nothing else can be said of it.
    """
    workload = experiment.workload
    named = workload.file or workload.name
    default = Experiment(baseline="", candidate="", workload=workload)
    return Request(
        baseline=experiment.baseline,
        candidate=experiment.candidate,
        workload=None if named == DEFAULT_WORKLOAD else _said(named),
        overrides=_overrides(workload, _before(workload, catalogue)),
        metric=None if experiment.metric == default.metric else _said(experiment.metric),
        **_differing(experiment, default, _WHOLE),
        **_differing(experiment.guest, default.guest, _GUEST),
    )


def texts_of(experiment: Experiment) -> dict[str, str]:
    """Option -> its text for an experiment, defaults too, to tell two experiments apart; "" for what is not given.

    ``--set`` has all parameters that the workload has now.
    """
    workload = experiment.workload
    everything = Request(
        workload=_said(workload.name),
        overrides={name: _said(_parameter_text(value)) for name, value in sorted(workload.parameters.items())},
        metric=_said(experiment.metric),
        **{name: getattr(experiment, name) for name in _WHOLE},
        **{name: getattr(experiment.guest, name) for name in _GUEST},
    )
    of_experiment = [
        key for key in KEYS if KEYS[key].attribute in {*_WHOLE, *_GUEST, "workload", "overrides", "metric"}
    ]
    return {_name(key): " ".join(_option(everything, key)[1::2]) for key in of_experiment}


def _option(request: Request, key: str) -> tuple[str, ...]:
    """The words of one option; none where the request does not say it."""
    value = getattr(request, KEYS[key].attribute)
    if value is None:
        return ()
    return tuple(word for text in KEYS[key].write(value) for word in (_name(key), text))


def _name(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _said(text: str) -> Scalar:
    return Scalar(text=text, where=_WHERE)


def _differing(found: Any, default: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(found, name)) != getattr(default, name)}


def _before(workload: Workload, catalogue: Mapping[str, Workload]) -> Workload:
    """The workload before anything of it was overridden."""
    if not workload.file:
        return catalogue.get(workload.name, workload)
    try:
        return load_workload(Path(workload.file))
    except KabError:
        return workload


def _overrides(workload: Workload, before: Workload) -> dict[str, Scalar]:
    changed = {
        name: _parameter_text(value)
        for name, value in workload.parameters.items()
        if name in before.parameters and value != before.parameters[name]
    }
    for name, (attribute, text) in _TIMING.items():
        value = getattr(workload, attribute)
        if value != getattr(before, attribute):
            changed[name] = text(value)
    return {name: _said(text) for name, text in changed.items()}


def _parameter_text(value: Parameter) -> str:
    """A parameter as `--set` reads it back, with its type."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # Counts stay numbers.
        return size_text(value).removesuffix("B") if value % 1024 else size_text(value)
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    return value
