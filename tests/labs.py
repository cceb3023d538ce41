"""A laboratory of invented kernels: `run_command(words, make_lab=InventedLab.of(World()))` needs no libvirt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path

from ladders import World, changes, kernel, plan

from harness.config import Request
from harness.interfaces import Progress
from harness.lab.lab import Lab
from harness.model.experiment import Experiment, TrialSpec
from harness.model.guest import Accelerator
from harness.model.history import Ladder, Rung, Step
from harness.model.kernel import AvailableKernel, Kernel
from harness.model.trial import Stage, Trial
from harness.run.answer import TreeLister


class InventedKernels:
    """A library that has what is asked for."""

    def resolve(self, spec: str) -> Kernel:
        return kernel(spec)

    def ladder(self, ends: Sequence[str], **_: object) -> Ladder:
        rungs = plan().rungs[: 19 if tuple(ends) == ("debian:6.1", "debian:7.2") else 20]
        return Ladder(
            flavour="cloud-amd64",
            rungs=tuple(
                Rung(
                    spec=rung.spec,
                    kernel=AvailableKernel(release=rung.release, version=rung.version, flavour="cloud-amd64"),
                )
                for rung in rungs
            ),
        )

    def changes(self, older: Kernel, newer: Kernel) -> Step:
        return changes(older, newer)

    def prune(self, limit_bytes: int) -> list[object]:
        return []

    prune_builds = prune


class InventedBench:
    """A bench whose boots are those of a world."""

    host: Mapping[str, str] = {}

    def __init__(self, world: World, accelerator: Accelerator) -> None:
        self._world = world
        self._accelerator = accelerator

    def check_request(self, request: Request) -> None:
        pass

    def check(self, experiment: Experiment) -> None:
        pass

    def accelerator(self, kernel: Kernel) -> Accelerator:
        return self._accelerator

    def conditions(self, kernel: Kernel) -> dict[str, str]:
        return {"accelerator": self._accelerator}

    def trials(self, kernel: Kernel, on_stage: Callable[[Stage], None]) -> Callable[..., Trial]:
        def trial(asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
            for stage in (Stage.DISKS, Stage.BOOT, Stage.WARMUP, Stage.MEASURE):
                on_stage(stage)
            made = self._world(asked, spec, booted)
            on_stage(Stage.SHUTDOWN)
            return made

        return trial


class InventedLab(Lab):
    """Resolves, lists and boots what is invented; its store is a real one."""

    def __init__(
        self,
        progress: Progress | None,
        *,
        world: World,
        accelerator: Accelerator,
        benches: list[Mapping[str, object]],
        lister: TreeLister | None,
    ) -> None:
        super().__init__(progress=progress)
        self._world = world
        self._accelerator = accelerator
        self._benches = benches
        self._lister = lister

    @classmethod
    def of(
        cls,
        world: World,
        *,
        accelerator: Accelerator = Accelerator.TCG,
        benches: list[Mapping[str, object]] | None = None,
        lister: TreeLister | None = None,
    ) -> Callable[[Progress | None], Lab]:
        """What makes one for a command; `benches` is told with what each bench was opened.

        `lister` lists commits where a tree is named.
        """
        opened = [] if benches is None else benches
        return partial(cls, world=world, accelerator=accelerator, benches=opened, lister=lister)

    @cached_property
    def kernels(self) -> InventedKernels:
        return InventedKernels()

    def tree_lister(self, tree: Path | None) -> TreeLister | None:
        return self._lister if tree else None

    @contextmanager
    def bench(self, **asked: object) -> Iterator[InventedBench]:
        self._benches.append(asked)
        yield InventedBench(self._world, self._accelerator)
