"""Where kernels come from, as a protocol: Debian's suites, files of this host, revisions of a git tree.

A new kind of source is a module (or a folder) with a class that has what ``KernelSource`` says, and a line in
``harness.kernels.registry``; nothing else knows one by name. What several sources share lies beside this: ``shelf``
(the cache, and how a kernel gets in), ``assemble`` (from packages or files to a kernel), ``intake`` (what may come in).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from harness.host.paths import Paths
from harness.kbuild.builder import BuildProgress
from harness.kernels.cache import SourceRecord
from harness.kernels.shelf import Shelf
from harness.model.history import Gap, GapKind, Step
from harness.model.kernel import AvailableKernel, Kernel

# What a source makes of a spec's text: a type of its own.
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)

# Told (what is fetched, bytes there, bytes in all).
FetchProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a source works with."""

    paths: Paths
    shelf: Shelf
    # Told in sentences what takes time.
    note: Callable[[str], None]
    progress: FetchProgress
    building: BuildProgress
    # Variables that say where sources fetch from.
    environment: Mapping[str, str]
    # The kernel of a spec of any source, for one that has another do the work.
    resolve: Callable[[str], Kernel]


class Listing(Protocol[S_contra]):
    """What a source offers at one time. Ladders are made of this alone."""

    def list(self, *, flavour: str | None = None, suites: Sequence[str] = ()) -> Sequence[AvailableKernel]:
        """The kernels on offer, oldest first in the source's own order of versions.

        Only those of `flavour`, and of `suites` (branches, archives: groups that the source has), where they are given;
        a suite may be called by its role. Nothing where the source has no such flavour or suite.
        """

    def choose(self, spec: S_contra, /, *, flavour: str | None = None, suites: Sequence[str] = ()) -> AvailableKernel:
        """Which one of ``list(flavour, suites)`` the `spec` means, the newest where it means several.

        Raises NoKernelError, which says what there is nearby.
        """

    def matching(self, spec: S_contra, /) -> Sequence[AvailableKernel]:
        """All that the `spec` means, oldest first; the last one is what ``choose`` gives. Raises NoKernelError."""

    def is_newer(self, version: str, other: str, /) -> bool:
        """Whether one of the source's versions comes after another, be they on offer or not."""

    def spec_of(self, kernel: AvailableKernel, /) -> str:
        """A spec that names this very kernel for ever, whatever is on offer later."""

    def key_of(self, kernel: AvailableKernel, /) -> str:
        """What the cache knows it by (``cache.source_key``)."""


class KernelSource(Protocol[S]):
    """One kind of source. Nothing is looked at before it is asked for something."""

    @property
    def name(self) -> str:
        """What its specs begin with, before the colon, and what ``Kernel.source`` says: "debian"."""

    @property
    def alone(self) -> bool:
        """Whether the name is the whole of its one spec, as ``host`` is."""

    @property
    def forms(self) -> str:
        """Lines for people: how its kernels are named. A form takes 34 columns, with two blanks before it."""

    @property
    def flavours(self) -> tuple[str, ...]:
        """Variants of one version; the first is meant where none is named. Empty: the source has none."""

    def parse(self, text: str, rest: str, /) -> S:
        """The spec that `text` is; `rest` is what follows the colon, never blank. Nothing is looked up.

        Raises ConfigError; one without a remedy is given that of all sources' forms.
        """

    def suggest(self, text: str, /) -> str | None:
        """A question ("Did you mean `debian:6.12`?") for a text that lacks its source and might be meant for this one.

        The last source of the registry is asked first; the first, which claims any word, last.
        """

    def flavour_of(self, spec: S, /) -> str | None:
        """The flavour that `spec` names; None where it names none."""

    def listing(self, flavour: str | None = None, /) -> Listing[S] | None:
        """What is on offer; None where the source cannot tell, as a path cannot. Raises HostError.

        It may leave out what is not of `flavour`, and where None is given whatever is dear to look up and seldom meant.
        """

    def record(self, spec: S, /) -> SourceRecord | None:
        """What the cache has for `spec`; nothing is fetched or built. Raises ConfigError, HostError."""

    def show(self, spec: S, text: str, /) -> Kernel | AvailableKernel:
        """What `spec` names, neither fetched nor built for that: a Kernel where it is there. Raises as ``fetch``."""

    def fetch(self, spec: S, text: str, /) -> Kernel:
        """The kernel in the cache, brought there (``Shelf.adding``) where it is not; `text` becomes ``Kernel.spec``.

        It is going to boot: what the cache has of it is checked. Where specs may come to mean another kernel, that of
        ``Listing.spec_of`` is kept as "spec" in the provenance, for commands that repeat a run.

        Raises ConfigError (no such kernel, not for this architecture), HostError (mirror, signature, hash, disk,
        compiler), BuildError, DoesNotApplyError.
        """

    def changes(self, older: Kernel, newer: Kernel, /) -> Step:
        """What came between two kernels, `newer` of this source; a gap says what is not known. Raises HostError."""


def unknown_changes(older: Kernel, newer: Kernel) -> Step:
    """The ``changes`` of a source that keeps none."""
    gap = Gap(kind=GapKind.NO_CHANGELOG, newer=newer.release)
    return Step(older=older.version, newer=newer.version, changes=(), gaps=(gap,))
