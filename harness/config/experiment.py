"""Experiments from files and command lines: one table of keys for both, so that a file can say what an option can."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from harness import resources
from harness.config.document import Items, Scalar, Table, Value, read_table, scalar, scalars, table
from harness.config.workloads import check_metric, find_workload, is_path, override
from harness.errors import ConfigError
from harness.model.experiment import Experiment
from harness.model.guest import MIB, DiskBus, DiskSpec, FilesystemSpec, GuestSpec
from harness.model.workload import Workload
from harness.parse.diskspec import (
    DISK_KEYS,
    FILESYSTEM_KEYS,
    disk_from,
    disk_text,
    filesystem_from,
    filesystem_text,
    parse_disk,
    parse_filesystem,
    shell_words,
)
from harness.parse.suggest import unknown
from harness.parse.units import fraction_text, parse_count, parse_duration, parse_fraction, parse_size, size_text
from harness.userpath import user_path

DEFAULT_WORKLOAD = "shared-dio"
ACCELERATORS = ("auto", "kvm", "tcg")
# Consent to lose data is given for one command, by hand, and never stored in a file.
COMMAND_LINE_ONLY = "destroy_data"

_LEAST_MEMORY_MIB = 256
# Of QEMU's q35 machine without an interrupt remapper.
_MOST_VCPUS = 255
# What a filesystem needs besides a workload's files: its own data, room for copies, and Btrfs's smallest size.
_FILESYSTEM_BYTES = 128 * MIB
# What kernel, sshd and fio need besides the pages of a null_blk disk.
_GUEST_OVERHEAD_BYTES = 320 * MIB

_Parsed = TypeVar("_Parsed")

# One for all: a matrix makes a hundred thousand requests.
_NOTHING: Mapping[str, Scalar] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a file or a command line asks for; None (or empty) is what it does not say."""

    baseline: str | None = None
    candidate: str | None = None
    workload: Scalar | None = None
    # `--set`: parameter -> its new value, with the place that says so.
    overrides: Mapping[str, Scalar] = field(default_factory=lambda: _NOTHING)
    disk: DiskSpec | None = None
    filesystem: FilesystemSpec | None = None
    vcpus: int | None = None
    memory_mib: int | None = None
    cmdline: tuple[str, ...] | None = None
    cpu_model: str | None = None
    metric: Scalar | None = None
    margin: float | None = None
    error: float | None = None
    max_boots: int | None = None
    seed: int | None = None
    # One of ACCELERATORS.
    accelerator: str | None = None
    # libvirt URI.
    connect: str | None = None
    # Where to write results to; relative to the current folder.
    json: Path | None = None
    html: Path | None = None

    def over(self, other: "Request") -> "Request":
        """This request, and what it leaves open as `other` says: a command line over a file."""
        mine: dict[str, Any] = {name: getattr(self, name) for name in _REQUEST_FIELDS}
        said = {name: value for name, value in mine.items() if value is not None}
        return replace(other, **said | {"overrides": {**other.overrides, **self.overrides}})


_REQUEST_FIELDS = tuple(field.name for field in fields(Request))


def experiment_names() -> tuple[str, ...]:
    """The experiments, of one comparison each, that ship with kab. Raises HostError."""
    return tuple(name for name in _shipped_names() if not _is_matrix(shipped_file(name)))


def matrix_names() -> tuple[str, ...]:
    """The matrices that ship with kab. Raises HostError."""
    return tuple(name for name in _shipped_names() if _is_matrix(shipped_file(name)))


def find_experiment(name: str) -> Path:
    """The file of an experiment or matrix: `name` where it means a file, else the one of this name that ships with kab.

    Raises ConfigError, HostError.
    """
    if is_path(name):
        return Path(name)
    known = _shipped_names()
    if name in known:
        return shipped_file(name)
    # Not Path.is_file, which raises for a name that is too long.
    if os.path.isfile(name):  # noqa: PTH113
        return Path(name)
    error = unknown("experiment", name, known, where="--file")
    raise ConfigError(error.message, remedy=f"{error.remedy} A file is named by its path, such as ./mine.yaml.")


def shipped_file(name: str) -> Path:
    """Where the experiment or matrix `name` is that ships with kab; whether there is one is not looked at."""
    return _catalogue_folder() / f"{name}.yaml"


def _shipped_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _catalogue_folder().glob("*.yaml")))


def _catalogue_folder() -> Path:
    return resources.folder("configs") / "experiments"


def _is_matrix(path: Path) -> bool:
    return not read_table(path).places.keys().isdisjoint(MATRIX_KEYS)


def load_experiment(path: Path) -> Request:
    """What an experiment file asks for. Raises ConfigError with FILE:LINE.

    A workload named by its path is looked for beside the experiment file.
    """
    document = read_table(path)
    refuse_consent(document)
    for key, where in document.places.items():
        if key in MATRIX_KEYS:
            raise ConfigError(
                f"{where}: {key} is of a matrix, and one comparison is wanted here",
                remedy=f"`kab run {path}` measures all cells of the file.",
            )
    document.check_keys("experiment", EXPERIMENT_KEYS)
    return Request(**read_keys(document.entries, beside=path.parent))


def refuse_consent(keys: Table) -> None:
    """Raise ConfigError where a file allows to lose what is on a disk."""
    if COMMAND_LINE_ONLY in keys.places:
        raise ConfigError(
            f"{keys.places[COMMAND_LINE_ONLY]}: {COMMAND_LINE_ONLY} is not taken from a file",
            remedy="Give --destroy-data DEVICE on the command line.",
        )


def read_keys(values: Mapping[str, Value], *, beside: Path | None = None) -> dict[str, Any]:
    """What keys of `KEYS` say: attribute of Request -> its value. Raises ConfigError with the place.

    A workload named by a path is looked for in the folder `beside`, else in the current one.
    """
    found = {KEYS[key].attribute: KEYS[key].read(value, key) for key, value in values.items()}
    named = found.get("workload")
    if beside is not None and named is not None and is_path(named.text):
        found["workload"] = replace(named, text=str((beside / named.text).resolve()))
    return found


def request_from_options(options: Mapping[str, str | Sequence[str] | None]) -> Request:
    """What a command line asks for: key of `EXPERIMENT_KEYS` -> text, texts (``set``: KEY=VALUE), or None: not given.

    Raises ConfigError that names the option.
    """
    values: dict[str, Value] = {}
    for key, said in options.items():
        where = key.upper() if key in {"baseline", "candidate"} else f"--{key.replace('_', '-')}"
        if key not in EXPERIMENT_KEYS:
            raise unknown("option", key, EXPERIMENT_KEYS)
        if said is None or said == ():
            continue
        if key == "set":
            values[key] = _assignments([said] if isinstance(said, str) else said, where)
        elif isinstance(said, str):
            values[key] = Scalar(text=said, where=where)
        else:
            values[key] = Items(items=tuple(Scalar(text=text, where=where) for text in said), where=where)
    return Request(**read_keys(values))


def build_experiment(request: Request, catalogue: Mapping[str, Workload]) -> Experiment:
    """The experiment of a request, defaults filled in and checked as a whole. Raises ConfigError.

    A workload that the user did not name is `DEFAULT_WORKLOAD`.
    """
    for arm in ("baseline", "candidate"):
        if getattr(request, arm) is None:
            raise ConfigError(
                f"no {arm} kernel is named",
                remedy=f"Write `kab ab BASELINE CANDIDATE`, or `{arm}: SPEC` in the experiment file.",
            )
    return ExperimentBuilder(catalogue).build(request)


class ExperimentBuilder:
    """Builds any number of experiments with workloads of one catalogue; what they have in common is made once."""

    def __init__(self, catalogue: Mapping[str, Workload]) -> None:
        """`catalogue`: name -> workload."""
        self._catalogue = catalogue
        # (name or path, parameters that are changed, metric) -> the workload, checked.
        self._workloads: dict[tuple[object, ...], Workload] = {}
        self._guests: dict[tuple[object, ...], GuestSpec] = {}
        # (identity of one of the workloads above, disk, memory) that go together.
        self._fitting: set[tuple[int, DiskSpec, int]] = set()

    def build(self, request: Request, *, baseline: str | None = None, candidate: str | None = None) -> Experiment:
        """The experiment of a request, defaults filled in and checked as a whole; kernels given here go over its own.

        A kernel that neither names is "". Raises ConfigError.
        """
        metric = request.metric or _DEFAULT_METRIC
        experiment = Experiment(
            baseline=baseline or request.baseline or "",
            candidate=candidate or request.candidate or "",
            workload=self._workload(request, metric),
            guest=self._guest(request),
            metric=metric.text,
            **_said(zip(_WHOLE, _whole_of(request), strict=True)),
        )
        fits = (id(experiment.workload), experiment.disk, experiment.guest.memory_mib)
        if fits not in self._fitting:
            _check_space(experiment)
            self._fitting.add(fits)
        return experiment

    def _workload(self, request: Request, metric: Scalar) -> Workload:
        named = request.workload or _DEFAULT_WORKLOAD
        changes = tuple(request.overrides.items()) if request.overrides else ()
        key = (named.text, changes, metric.text)
        if key not in self._workloads:
            workload = override(find_workload(named, self._catalogue), request.overrides)
            check_metric(workload, metric, besides=("auto",))
            self._workloads[key] = workload
        return self._workloads[key]

    def _guest(self, request: Request) -> GuestSpec:
        key = (request.vcpus, request.memory_mib, request.cmdline, request.cpu_model)
        if key not in self._guests:
            self._guests[key] = GuestSpec(**_said(zip(_GUEST, key, strict=True)))
        return self._guests[key]


_DEFAULT_WORKLOAD = Scalar(text=DEFAULT_WORKLOAD, where="the default workload")
_DEFAULT_METRIC = Scalar(text="auto", where="the default metric")
# Attributes of Request that Experiment calls so, and that its guest does.
_WHOLE = ("disk", "filesystem", "margin", "error", "max_boots", "seed")
_GUEST = ("vcpus", "memory_mib", "cmdline", "cpu_model")


_whole_of = attrgetter(*_WHOLE)


def _said(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in values if value is not None}


def _check_space(experiment: Experiment) -> None:
    disk, files = experiment.disk, experiment.workload.disk_bytes
    need = -(-(files + files // 4 + _FILESYSTEM_BYTES) // MIB) * MIB
    if disk.size_bytes and disk.size_bytes < need:
        raise ConfigError(
            f"workload {experiment.workload.name} needs a disk of {size_text(need)}, and {disk_text(disk)} is smaller",
            remedy=f"Give the disk size={size_text(need)} or more.",
        )
    # The pages of a null_blk disk are the guest's own memory.
    least = (files + _GUEST_OVERHEAD_BYTES) // MIB
    if disk.bus is DiskBus.NULL_BLK and experiment.guest.memory_mib < least:
        raise ConfigError(
            f"a null-blk disk lives in the guest's memory: workload {experiment.workload.name} needs {least} MiB of "
            f"it, and the guest has {experiment.guest.memory_mib}",
            remedy=f"Give the guest memory={least}MiB or more.",
        )


def _text(value: Value, key: str) -> str:
    text = scalar(value, key)
    if not text.text.strip():
        raise ConfigError(f"{text.where}: {key} is empty")
    return text.text


def _named(value: Value, key: str) -> Scalar:
    _text(value, key)
    return scalar(value, key)


def _parsed(parser: Callable[[str], _Parsed]) -> Callable[[Value, str], _Parsed]:
    return lambda value, key: scalar(value, key).parse(parser)


def _at_least(minimum: int, maximum: int | None = None) -> Callable[[Value, str], int]:
    return _parsed(lambda text: parse_count(text, minimum=minimum, maximum=maximum))


def _memory_mib(text: str) -> int:
    size = parse_size(text)
    if size % MIB or size < _LEAST_MEMORY_MIB * MIB:
        raise ConfigError(f"{text!r} is not a guest's memory: whole MiB, {_LEAST_MEMORY_MIB}MiB or more")
    return size // MIB


def _words(value: Value, key: str) -> tuple[str, ...]:
    """One text split at blanks, or a list of words."""
    words = []
    for item in scalars(value, key):
        if not item.text.isprintable():
            raise ConfigError(f"{item.where}: {item.text[:80]!r} holds a line feed or another control character")
        words += item.text.split()
    return tuple(words)


def _accelerator(text: str) -> str:
    if text not in ACCELERATORS:
        raise unknown("accelerator", text, ACCELERATORS)
    return text


def _path(value: Value, key: str) -> Path:
    return user_path(_text(value, key))


def _disk(value: Value, key: str) -> DiskSpec:
    if isinstance(value, Scalar):
        return value.parse(parse_disk)
    keys = table(value, key)
    keys.check_keys("disk", ("bus", *DISK_KEYS), required=("bus",))
    texts = {name: scalar(entry, name).text for name, entry in keys.entries.items()}
    # Read once more as a whole below; here, so that a wrong unit is told with its own line.
    for name in _DISK_UNITS.keys() & texts.keys():
        scalar(keys.entries[name], name).parse(_DISK_UNITS[name])
    return Scalar(text=texts.pop("bus"), where=keys.where).parse(lambda bus: disk_from(bus, texts))


_DISK_UNITS: Mapping[str, Callable[[str], object]] = {"size": parse_size, "latency": parse_duration}


def _filesystem(value: Value, key: str) -> FilesystemSpec:
    if isinstance(value, Scalar):
        return value.parse(parse_filesystem)
    keys = table(value, key)
    keys.check_keys("filesystem", ("type", *FILESYSTEM_KEYS), required=("type",))
    mount = [item.text for item in scalars(keys.entries["mount"], "mount")] if "mount" in keys.entries else []
    mkfs = _mkfs_words(keys.entries["mkfs"]) if "mkfs" in keys.entries else []
    return scalar(keys.entries["type"], "type").parse(lambda name: filesystem_from(name, mount, mkfs))


def _mkfs_words(value: Value) -> list[str]:
    """A text is split as a shell would, a list is taken as it is."""
    if isinstance(value, Scalar):
        return value.parse(shell_words)
    return [item.text for item in scalars(value, "mkfs")]


def _overrides(value: Value, key: str) -> Mapping[str, Scalar]:
    entries: Table = table(value, key)
    return {name: scalar(entry, name) for name, entry in entries.entries.items()}


def _assignments(texts: Sequence[str], where: str) -> Table:
    entries: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError(f"{where}: {text!r} is not KEY=VALUE")
        entries[name] = Scalar(text=value, where=f"{where} {name}")
    return Table(entries=entries, places=dict.fromkeys(entries, where), where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of an experiment file; on the command line the option --KEY, with dashes."""

    # Of Request.
    attribute: str
    read: Callable[[Value, str], Any]
    # The inverse: the texts that `read` takes for a value that it gave, each of which the option is given with.
    write: Callable[[Any], Sequence[str]] = lambda value: (str(value),)


KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "baseline": Key(attribute="baseline", read=_text),
        "candidate": Key(attribute="candidate", read=_text),
        "workload": Key(attribute="workload", read=_named, write=lambda named: (named.text,)),
        "set": Key(
            attribute="overrides",
            read=_overrides,
            write=lambda changes: tuple(f"{name}={value.text}" for name, value in changes.items()),
        ),
        "disk": Key(attribute="disk", read=_disk, write=lambda disk: (disk_text(disk),)),
        "fs": Key(attribute="filesystem", read=_filesystem, write=lambda found: (filesystem_text(found),)),
        "vcpus": Key(attribute="vcpus", read=_at_least(1, _MOST_VCPUS)),
        "memory": Key(
            attribute="memory_mib", read=_parsed(_memory_mib), write=lambda size_mib: (size_text(size_mib * MIB),)
        ),
        "cmdline": Key(attribute="cmdline", read=_words, write=lambda words: (" ".join(words),)),
        "cpu_model": Key(attribute="cpu_model", read=_text),
        "metric": Key(attribute="metric", read=_named, write=lambda named: (named.text,)),
        "margin": Key(attribute="margin", read=_parsed(parse_fraction), write=lambda margin: (fraction_text(margin),)),
        "error": Key(attribute="error", read=_parsed(parse_fraction), write=lambda error: (fraction_text(error),)),
        "max_boots": Key(attribute="max_boots", read=_at_least(2)),
        "seed": Key(attribute="seed", read=_at_least(0)),
        "accel": Key(attribute="accelerator", read=_parsed(_accelerator)),
        "connect": Key(attribute="connect", read=_text),
        "json": Key(attribute="json", read=_path),
        "html": Key(attribute="html", read=_path),
    }
)
EXPERIMENT_KEYS = tuple(KEYS)
# Of a file that holds more than one comparison, besides those of an experiment. See harness.config.matrix.
MATRIX_KEYS = ("title", "extends", "axes", "exclude", "include", "adjust", "gate", "waivers", "nightly")
