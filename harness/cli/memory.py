"""Little memory: found before a library runs into it, and told from a bug."""

import errno
import os
import resource

from harness.errors import HostError

MIB = 1024**2
# Under less, OpenBLAS, which NumPy loads, ends the process with status 1, or spins without hearing a signal. The
# libraries of a run take 280 MiB of address space, a session's threads the rest.
LEAST_BYTES = 512 * MIB
_LIMITS = ((resource.RLIMIT_AS, "ulimit -v"), (resource.RLIMIT_DATA, "ulimit -d"))
# What the loader says of a library that it has no room for.
_LOADER_WORDS = ("failed to map segment", "cannot allocate memory", "cannot create shared object descriptor")


def require_memory() -> None:
    """Raise HostError where this process may use less memory than kab needs to work."""
    for kind, command in _LIMITS:
        allowed, _ = resource.getrlimit(kind)
        if allowed != resource.RLIM_INFINITY and allowed < LEAST_BYTES:
            raise HostError(
                f"this process may use {allowed // MIB} MiB of memory ({command}), and kab needs {LEAST_BYTES // MIB}",
                remedy=f"Raise the limit: {command} {LEAST_BYTES // 1024}, or unlimited.",
            )


def calm_libraries() -> None:
    """Keep NumPy's OpenBLAS from making a thread, with its memory, for each processor: kab's arrays are small."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, and no more than that."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, ImportError):
        return any(words in str(error).lower() for words in _LOADER_WORDS)
    return isinstance(error, MemoryError)
