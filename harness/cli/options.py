"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.display import ProgressMode

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Every value is taken as text: harness.config reads it as it reads an experiment file's, with the same errors.
_PLACE_OPTIONS = (
    click.option(
        "--accel", type=click.Choice(["auto", "kvm", "tcg"]), help="Who runs the guest [auto: found by booting]."
    ),
    click.option("--connect", metavar="URI", help="libvirt URI [an embedded driver, no daemon]."),
    click.option(
        "--destroy-data",
        metavar="DEVICE",
        default="",
        help="Consent to lose what is on this block device, named in full.",
    ),
)
_GUEST_OPTIONS = (
    click.option(
        "--disk", metavar="SPEC", help="Test disk, e.g. nvme,backend=nbd,latency=2ms,size=1GiB (the default)."
    ),
    click.option(
        "--fs", metavar="SPEC", help="Filesystem, e.g. btrfs,mount=nodatacow (the default), btrfs, ext4, xfs."
    ),
    click.option("--vcpus", metavar="N", help="Processors of the guest [2]."),
    click.option("--memory", metavar="SIZE", help="Memory of the guest [1GiB]."),
    click.option("--cmdline", metavar="WORDS", multiple=True, help="Words for the kernel's command line."),
    click.option("--cpu-model", metavar="NAME", help="QEMU's -cpu; else kab chooses for the accelerator."),
    *_PLACE_OPTIONS,
)
_EXPERIMENT_OPTIONS = (
    click.option("--workload", metavar="NAME", help="Workload of configs/workloads, or a file [shared-dio]."),
    click.option("--set", metavar="KEY=VALUE", multiple=True, help="Change a parameter of the workload."),
    *_GUEST_OPTIONS,
    click.option("--metric", metavar="NAME", help="The metric that decides [auto: the one that separates the arms]."),
    click.option("--margin", metavar="PERCENT", help="Differences up to this are `same` [5%]."),
    click.option("--error", metavar="PERCENT", help="Allowed probability of a wrong verdict [1%]."),
    click.option("--max-boots", metavar="N", help="Boots of both arms together after which to give up [40]."),
    click.option("--seed", metavar="N", help="Order of boots and random offsets [drawn, and stored]."),
)

_BUILD_OPTIONS = (
    click.option("--config", metavar="NAME", help="`micro`, `localmod`, or a .config file [micro]."),
    click.option("--fragment", "fragments", metavar="FILE", multiple=True, help="Options on top; the last one wins."),
    click.option(
        "--cc", "compiler", metavar="NAME", help="gcc-12, clang, ... [gcc, or one that the tree can live with]."
    ),
    click.option("--builder", metavar="FILE", help="A program that builds instead of kbuild."),
)


_CELL_OPTIONS = (
    click.option(
        "--only",
        metavar="AXIS=PATTERN",
        multiple=True,
        help="Only cells with such a label; of one axis any, of several axes each.",
    ),
    click.option("--shard", metavar="I/N", help="Of the cells the I-th of N shares, one for each of N hosts."),
)


def _apply(options: tuple[Callable[[_Function], _Function], ...], function: _Function) -> _Function:
    for option in reversed(options):
        function = option(function)
    return function


def guest_options(function: _Function) -> _Function:
    """Options that say what the guest is made of."""
    return _apply(_GUEST_OPTIONS, function)


def place_options(function: _Function) -> _Function:
    """Options that say where guests run."""
    return _apply(_PLACE_OPTIONS, function)


def experiment_options(function: _Function) -> _Function:
    """Options that say what an experiment is made of."""
    return _apply(_EXPERIMENT_OPTIONS, function)


def cell_options(function: _Function) -> _Function:
    """Options that say which cells of a matrix are meant."""
    return _apply(_CELL_OPTIONS, function)


def build_options(function: _Function) -> _Function:
    """Options that say how a kernel is built from source."""
    return _apply(_BUILD_OPTIONS, function)


def tree_option(function: _Function) -> _Function:
    """Where suspects come from besides changelogs."""
    return click.option(
        "--tree",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="A git clone of Linux: lists the commits between packages, for suspects.",
    )(function)


def progress_option(function: _Function) -> _Function:
    """How progress is shown."""
    return click.option(
        "--progress",
        type=click.Choice([mode.value for mode in ProgressMode]),
        default=ProgressMode.AUTO.value,
        show_default=True,
        help="How to show progress on stderr; auto: live on a terminal, lines elsewhere.",
    )(function)
