"""The kernel of a rung while a search runs: whose fault it is when there is none, and the user's build fixes."""

from collections.abc import Callable, Sequence

from harness.errors import BuildError, ConfigError, DoesNotApplyError, HostError, NoKernelError
from harness.model.kernel import Kernel
from harness.model.source import OperationKind
from harness.parse.gitspec import with_operation


def resolve_rung(
    resolve: Callable[[str], Kernel], spec: str, build_fixes: Sequence[str], note: Callable[[str], None]
) -> Kernel:
    """The kernel of a spec, with the first of the user's build fixes that helps where it does not build.

    Raises NoKernelError, DoesNotApplyError and BuildError, which are of this kernel, and HostError: a builder, a
    repository or a file that was there when the search began is the host's to bring back, and says nothing about it.
    """
    try:
        return _have(resolve, spec)
    except BuildError:
        for fix in build_fixes:
            try:
                kernel = _have(resolve, with_operation(spec, OperationKind.PICK, fix))
            except (BuildError, DoesNotApplyError, NoKernelError):
                continue
            note(f"{kernel.name} builds with {fix[:12]} on top")
            return kernel
        raise


def _have(resolve: Callable[[str], Kernel], spec: str) -> Kernel:
    try:
        return resolve(spec)
    except NoKernelError:
        raise
    except ConfigError as error:
        what = "What was measured is stored: mend this, and the same command continues; or take the kernel out "
        raise HostError(
            f"cannot have {spec}: {error.message}", remedy=f"{error.remedy} {what}with `kab bisect skip`.".strip()
        ) from error
