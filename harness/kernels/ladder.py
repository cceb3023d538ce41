"""Ladders: the kernels that a source offers between two of them, or that match a pattern, ordered by version.

Versions order a ladder, though stable branches fork: a fix may be in 6.12.107 and not in the next rung, 6.16.3. What
looks like several edges then is one change per branch. Suites narrow a ladder down to one line of descent.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from harness.errors import ConfigError, NoKernelError
from harness.kernels.source import KernelSource, Listing
from harness.kernels.specs import read_spec
from harness.model.history import Ladder, Rung
from harness.model.kernel import AvailableKernel
from harness.parse.suggest import enumerated

_FORMS = "Write two ends, `debian:6.1 debian:7.3`, or a pattern in quotes, 'debian:6.12.*'."
_WILDCARDS = re.compile(r"[*?\[]")


def find_ladder(
    sources: Sequence[KernelSource[Any]],
    ends: Sequence[str],
    *,
    flavour: str | None = None,
    suites: Sequence[str] = (),
    every: bool = False,
) -> tuple[Listing[Any], Ladder]:
    """The ladder between two specs of one source, or of one pattern, and the listing that it is made of.

    A spec names one kernel, the newest where it fits several: the ladder from ``debian:6.1`` begins with the newest
    6.1. A pattern, ``debian:GLOB[/FLAVOUR]``, is matched with upstream versions, versions and releases. Of each
    upstream version the newest package is taken, or the one that an end names, or with `every` each. An end without a
    flavour has that of the other, and both without have the source's first. Raises ConfigError, HostError.
    """
    patterns = [text for text in ends if _WILDCARDS.search(text)]
    if len(ends) != (1 if patterns else 2):
        raise ConfigError(f"a ladder cannot be made of `{' '.join(ends)}`", remedy=_FORMS)
    if patterns:
        source, glob, named = _read_pattern(patterns[0], sources)
        chosen = _common_flavour({named, flavour}, source)
        listing = source.listing(chosen)
        if listing is None:
            raise ConfigError(f"`{patterns[0]}` is no pattern of kernels that a source lists", remedy=_FORMS)
        _check_suites(listing, suites)
        return listing, _matching(listing, patterns[0], glob, flavour=chosen, suites=suites, every=every)
    (source, first), (other, last) = (read_spec(text, sources) for text in ends)
    if source is not other:
        raise ConfigError(
            f"`{ends[0]}` and `{ends[1]}` are no ends of a ladder: they are of different sources", remedy=_FORMS
        )
    chosen = _common_flavour({source.flavour_of(first), source.flavour_of(last), flavour}, source)
    listing = source.listing(chosen)
    if listing is None:
        raise ConfigError(
            f"`{ends[0]}` cannot be an end of a ladder: nothing lists the kernels that might come after it",
            remedy=_FORMS,
        )
    _check_suites(listing, suites)
    return listing, _between(listing, (ends[0], ends[1]), (first, last), flavour=chosen, suites=suites, every=every)


def check_flavour(flavour: str | None, flavours: Sequence[str], *, where: str = "") -> None:
    """Raise ConfigError where `flavour` is named and is none of these; `where` begins the message."""
    if flavour is not None and flavour not in flavours:
        known = f"Flavours are {enumerated(flavours)}." if flavours else "That source has no flavours."
        raise ConfigError(f"{where}there is no flavour `{flavour}`", remedy=known)


def _read_pattern(text: str, sources: Sequence[KernelSource[Any]]) -> tuple[KernelSource[Any], str, str | None]:
    """The source of ``SOURCE:GLOB[/FLAVOUR]``, the glob, and the flavour where it names one. Raises ConfigError."""
    name, colon, rest = text.strip().partition(":")
    source = next((source for source in sources if colon and source.name == name), None)
    if source is None:
        raise ConfigError(f"`{text}` is no pattern of kernels that a source lists", remedy=_FORMS)
    if not source.flavours:
        return source, rest, None
    glob, slash, flavour = rest.partition("/")
    check_flavour(flavour if slash else None, source.flavours, where=f"`{text}`: ")
    # "*-cloud-amd64" names one, too; the longest, for it ends with "-amd64".
    ending = max((name for name in source.flavours if glob.endswith(f"-{name}")), key=len, default=None)
    return source, glob, flavour or ending


def _between(
    listing: Listing[Any],
    texts: tuple[str, str],
    specs: tuple[Any, Any],
    *,
    flavour: str | None,
    suites: Sequence[str],
    every: bool,
) -> Ladder:
    """The ladder from the kernel that the first of `specs` names to that of the second; `texts` are theirs."""
    first, last = (_end(listing, spec, flavour, suites) for spec in specs)
    told = " and ".join(
        dict.fromkeys(f"{text} is {kernel.version}" for text, kernel in zip(texts, (first, last), strict=True))
    )
    if first == last:
        raise ConfigError(
            f"both ends of the ladder are the same kernel: {told}",
            remedy="Name two different kernels, or a series: 'debian:6.12.*'.",
        )
    pool = listing.list(flavour=flavour, suites=suites)
    if pool.index(first) > pool.index(last):
        raise ConfigError(
            f"the ends of the ladder are in the wrong order: {told}",
            remedy=f"The older end comes first: {texts[1]} {texts[0]}",
        )
    inside = pool[pool.index(first) : pool.index(last) + 1]
    return _ladder(listing, inside, flavour, every=every, keep=(first, last))


def _matching(
    listing: Listing[Any], pattern: str, glob: str, *, flavour: str | None, suites: Sequence[str], every: bool
) -> Ladder:
    """The ladder of all kernels that `glob` matches, two at least; `pattern` is for messages."""
    pool = listing.list(flavour=flavour, suites=suites)
    found = [
        kernel
        for kernel in pool
        if any(fnmatchcase(name, glob) for name in (kernel.upstream, kernel.version, kernel.release))
    ]
    ladder = _ladder(listing, found, flavour, every=every)
    if len(ladder.rungs) < 2:
        have = ladder.rungs[0].spec if ladder.rungs else "no kernel"
        raise ConfigError(
            f"`{pattern}` matches {have}: a ladder has two rungs at least"
            + (f" ({len(found)} packages of one upstream version: --every takes each)" if len(found) > 1 else ""),
            remedy=f"Upstream versions on offer: {', '.join(dict.fromkeys(kernel.upstream for kernel in pool))}.",
        )
    return ladder


def _ladder(
    listing: Listing[Any],
    inside: Sequence[AvailableKernel],
    flavour: str | None,
    *,
    every: bool,
    keep: Sequence[AvailableKernel] = (),
) -> Ladder:
    ends = {kernel.upstream for kernel in keep}
    newest = {kernel.upstream: kernel for kernel in inside}
    taken = [
        kernel
        for kernel in inside
        if every or kernel in keep or (kernel.upstream not in ends and newest[kernel.upstream] == kernel)
    ]
    return Ladder(
        flavour=flavour or "",
        rungs=tuple(Rung(spec=listing.spec_of(kernel), kernel=kernel) for kernel in taken),
        left_out=len(inside) - len(taken),
    )


def _check_suites(listing: Listing[Any], suites: Sequence[str]) -> None:
    for suite in suites:
        if not listing.list(suites=[suite]):
            known = sorted({name for kernel in listing.list() for name in kernel.suites})
            raise ConfigError(f"no kernel is in the suite `{suite}`", remedy=f"Suites: {', '.join(known)}.")


def _end(listing: Listing[Any], spec: Any, flavour: str | None, suites: Sequence[str]) -> AvailableKernel:
    try:
        return listing.choose(spec, flavour=flavour, suites=suites)
    except NoKernelError as error:
        if not suites:
            raise
        raise ConfigError(f"{error.message} (--suite {', '.join(suites)})", remedy=error.remedy) from error


def _common_flavour(named: set[str | None], source: KernelSource[Any]) -> str | None:
    """The one flavour of a ladder, the source's first where none is named; None where the source has none."""
    told = sorted(name for name in named if name)
    for name in told:
        check_flavour(name, source.flavours)
    if len(told) > 1:
        raise ConfigError(
            f"a ladder has one flavour, not {' and '.join(told)}", remedy="Name both ends with the same one."
        )
    return next(iter((*told, *source.flavours)), None)
