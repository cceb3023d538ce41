"""Whether the kernels of the cache are what was put there, all of their content read."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.host import locks
from harness.kernels.cache import KernelCache

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found of one kernel of the cache."""

    digest: str
    # "" where even that cannot be read.
    release: str
    # Files whose content is not what was put there; empty for a sound kernel.
    damaged: tuple[str, ...]
    # Whether it was removed for that: not where another process uses it.
    removed: bool = False


def verify(cache: KernelCache, digests: Sequence[str]) -> Iterator[Verified]:
    """Each of the entries, read; a damaged one is removed, for kab makes it anew when it is named again.

    Raises HostError.
    """
    releases = {kernel.digest: kernel.release for kernel in cache.entries()}
    for digest in digests:
        held = locks.try_lock(cache.lock_file(digest), shared=True)
        if held is None:
            _log.info("%s is being removed by another process", digest)
            continue
        with held:
            damaged = cache.damage(digest)
        removed = bool(damaged) and cache.discard(digest)
        yield Verified(digest=digest, release=releases.get(digest, ""), damaged=damaged, removed=removed)
