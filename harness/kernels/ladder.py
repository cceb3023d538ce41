"""Ladders: the kernels that Debian's suites offer between two of them, or that match a pattern, ordered by version.

Versions order a ladder, though stable branches fork: a fix may be in 6.12.107 and not in the next rung, 6.16.3. What
looks like several edges then is one change per branch. Suites narrow a ladder down to one line of descent.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from debian.debian_support import Version

from harness.errors import ConfigError
from harness.kernels.catalogue import Catalogue, default_flavour
from harness.kernels.library import KernelLibrary
from harness.model.history import Ladder, Rung
from harness.model.kernel import AvailableKernel, DebianSpec
from harness.parse.kernelspec import FLAVOUR_LIST, FLAVOURS, flavour_of, parse_kernel_spec

_FORMS = "Write two ends, `debian:6.1 debian:7.3`, or a pattern in quotes, 'debian:6.12.*'."
_WILDCARDS = re.compile(r"[*?\[]")


def find_ladder(
    library: KernelLibrary,
    ends: Sequence[str],
    *,
    flavour: str | None = None,
    suites: Sequence[str] = (),
    every: bool = False,
) -> Ladder:
    """The ladder between two specs, or of one pattern, with what the cache holds. Raises ConfigError, HostError."""
    if flavour is not None and flavour not in FLAVOURS:
        raise ConfigError(f"there is no flavour `{flavour}`", remedy=f"Flavours are {FLAVOUR_LIST}.")
    patterns = [text for text in ends if _WILDCARDS.search(text)]
    if len(ends) != (1 if patterns else 2):
        raise ConfigError(f"a ladder cannot be made of `{' '.join(ends)}`", remedy=_FORMS)
    if patterns:
        named = _of_pattern(patterns[0]) or flavour
        return matching(
            _offered(library, named),
            patterns[0],
            flavour=flavour,
            suites=_unaliased(library, suites, named),
            every=every,
        )
    specs = (_debian(ends[0]), _debian(ends[1]))
    named = _common_flavour(specs, flavour)
    return between(
        _offered(library, named),
        specs,
        flavour=flavour,
        suites=_unaliased(library, suites, named),
        every=every,
        suite_aliases=library.suite_aliases(named),
    )


def between(
    kernels: Sequence[AvailableKernel],
    ends: tuple[DebianSpec, DebianSpec],
    *,
    flavour: str | None = None,
    suites: Sequence[str] = (),
    every: bool = False,
    suite_aliases: Mapping[str, str] | None = None,
) -> Ladder:
    """The ladder from the kernel that the first spec names to that of the second, both included.

    A spec names one kernel, the newest where it fits several: the ladder from ``debian:6.1`` begins with the newest
    6.1. Of each upstream version the newest package is taken, or the one that an end names, or with `every` each. An
    end without a flavour has that of the other. Raises ConfigError.
    """
    chosen = _common_flavour(ends, flavour)
    pool = _pool(kernels, chosen, suites)
    catalogue = Catalogue(kernels=pool, suite_aliases=suite_aliases or {})
    first, last = (_end(catalogue, spec, chosen, suites) for spec in ends)
    told = " and ".join(
        dict.fromkeys(
            f"debian:{spec.selector} is {kernel.version}" for spec, kernel in zip(ends, (first, last), strict=True)
        )
    )
    if first == last:
        raise ConfigError(
            f"both ends of the ladder are the same kernel: {told}",
            remedy="Name two different kernels, or a series: 'debian:6.12.*'.",
        )
    if pool.index(first) > pool.index(last):
        raise ConfigError(
            f"the ends of the ladder are in the wrong order: {told}",
            remedy=f"The older end comes first: debian:{ends[1].selector} debian:{ends[0].selector}",
        )
    inside = pool[pool.index(first) : pool.index(last) + 1]
    return _ladder(kernels, inside, chosen, every=every, keep=(first, last))


def matching(
    kernels: Sequence[AvailableKernel],
    pattern: str,
    *,
    flavour: str | None = None,
    suites: Sequence[str] = (),
    every: bool = False,
) -> Ladder:
    """The ladder of all kernels whose upstream version, package version or release matches ``debian:GLOB[/FLAVOUR]``.

    Raises ConfigError where fewer than two do.
    """
    scheme, colon, rest = pattern.partition(":")
    if not colon or scheme != "debian":
        raise ConfigError(f"`{pattern}` is no pattern of Debian kernels", remedy=_FORMS)
    glob, slash, named = rest.partition("/")
    if slash and named not in FLAVOURS:
        raise ConfigError(f"`{pattern}`: there is no flavour `{named}`", remedy=f"Flavours are {FLAVOUR_LIST}.")
    spec = DebianSpec(selector=glob, flavour=named or None)
    chosen = _common_flavour((spec,), flavour)
    pool = _pool(kernels, chosen, suites)
    found = tuple(
        kernel
        for kernel in pool
        if any(fnmatchcase(name, glob) for name in (_upstream(kernel), kernel.version, kernel.release))
    )
    ladder = _ladder(kernels, found, chosen, every=every)
    if len(ladder.rungs) < 2:
        have = ladder.rungs[0].spec if ladder.rungs else "no kernel"
        raise ConfigError(
            f"`{pattern}` matches {have}: a ladder has two rungs at least"
            + (f" ({len(found)} packages of one upstream version: --every takes each)" if len(found) > 1 else ""),
            remedy=f"Upstream versions on offer: {', '.join(dict.fromkeys(map(_upstream, pool)))}.",
        )
    return ladder


def _ladder(
    offered: Sequence[AvailableKernel],
    inside: Sequence[AvailableKernel],
    flavour: str,
    *,
    every: bool,
    keep: Sequence[AvailableKernel] = (),
) -> Ladder:
    ends = {_upstream(kernel) for kernel in keep}
    newest = {_upstream(kernel): kernel for kernel in inside}
    taken = [
        kernel
        for kernel in inside
        if every or kernel in keep or (_upstream(kernel) not in ends and newest[_upstream(kernel)] == kernel)
    ]
    return Ladder(
        flavour=flavour,
        rungs=tuple(Rung(spec=_spec(kernel, offered), kernel=kernel) for kernel in taken),
        left_out=len(inside) - len(taken),
    )


def _pool(kernels: Sequence[AvailableKernel], flavour: str, suites: Sequence[str]) -> tuple[AvailableKernel, ...]:
    """Kernels of the flavour and the suites, oldest first."""
    known = sorted({suite for kernel in kernels for suite in kernel.suites})
    for suite in suites:
        if suite not in known:
            raise ConfigError(f"no kernel is in the suite `{suite}`", remedy=f"Suites: {', '.join(known)}.")
    found = [
        kernel
        for kernel in kernels
        if kernel.flavour == flavour and (not suites or not set(suites).isdisjoint(kernel.suites))
    ]
    return tuple(sorted(found, key=lambda kernel: (Version(kernel.version), kernel.release)))


def _end(catalogue: Catalogue, spec: DebianSpec, flavour: str, suites: Sequence[str]) -> AvailableKernel:
    wanted = DebianSpec(selector=spec.selector, flavour=flavour)
    found = catalogue.choose(wanted)
    if found is None:
        error = catalogue.no_match(wanted)
        if not suites:
            raise error
        raise ConfigError(f"{error.message} (--suite {', '.join(suites)})", remedy=error.remedy)
    return found


def _common_flavour(specs: Sequence[DebianSpec], flavour: str | None) -> str:
    named = {spec.flavour or flavour_of(spec.selector) for spec in specs} | {flavour}
    named.discard(None)
    if len(named) > 1:
        raise ConfigError(
            f"a ladder has one flavour, not {' and '.join(sorted(filter(None, named)))}",
            remedy="Name both ends with the same one.",
        )
    return next((name for name in named if name), default_flavour())


def _spec(kernel: AvailableKernel, offered: Sequence[AvailableKernel]) -> str:
    """The release, as people know it; the package version where several packages call themselves so."""
    if [other.release for other in offered].count(kernel.release) == 1:
        return f"debian:{kernel.release}"
    return f"debian:{kernel.version}/{kernel.flavour}"


def _debian(text: str) -> DebianSpec:
    spec = parse_kernel_spec(text)
    if not isinstance(spec, DebianSpec):
        raise ConfigError(f"`{text}` cannot be an end of a ladder: only Debian's kernels have one", remedy=_FORMS)
    return spec


def _of_pattern(pattern: str) -> str | None:
    glob, _, named = pattern.partition("/")
    return named or flavour_of(glob)


def _offered(library: KernelLibrary, flavour: str | None) -> tuple[AvailableKernel, ...]:
    """What there is of a flavour; what is wrong with one that is not known is told where it is used."""
    return library.list_available(flavour if flavour in FLAVOURS else None)


def _unaliased(library: KernelLibrary, suites: Sequence[str], flavour: str | None) -> list[str]:
    aliases = library.suite_aliases(flavour) if suites else {}
    return [aliases.get(suite, suite) for suite in suites]


def _upstream(kernel: AvailableKernel) -> str:
    return kernel.version.rpartition("-")[0] or kernel.version
