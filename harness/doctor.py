"""`kab doctor`: every look at the host that tells whether kab can work here, and how well."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from harness.debian.aptsources import find_mirrors
from harness.debian.keyring import keyring_check
from harness.debian.mirror import reach
from harness.errors import ConfigError, HostError
from harness.host import probes
from harness.host.architecture import host_architecture
from harness.host.paths import Paths
from harness.model.arch import ARCHITECTURES
from harness.model.check import Check, CheckStatus
from harness.model.experiment import DEFAULT_DISK
from harness.model.guest import MIB, Accelerator, GuestSpec

# An image with its build (1.5 GiB) and a pair of kernels with their packages.
_CACHE_BYTES = 3 * 1024**3
# Results of some hundred boots, and the disk file of one.
_STATE_BYTES = 1 * 1024**3


def examine(
    paths: Paths,
    *,
    root: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
    remembered: Callable[[], Accelerator | None] = lambda: None,
    guest_mib: int = GuestSpec().memory_mib + DEFAULT_DISK.size_bytes // MIB,
) -> list[Check]:
    """Everything that can be found out without booting, booting nothing and changing nothing.

    ``remembered`` gives the accelerator that an earlier run found out by booting, or None. ``guest_mib`` is the memory
    of a guest and of its disk, where that is held in memory. Does not raise: what cannot be found out is a finding.
    """
    environment = os.environ if environment is None else environment
    accelerator = remembered()
    cpus = os.cpu_count() or 1
    own = host_architecture()
    look = probes.guarded
    return [
        look("accelerator", lambda: probes.accelerator(root, accelerator)),
        look("qemu", lambda: probes.qemu(root, accelerator, own)),
        *(
            look(f"qemu ({other})", partial(probes.foreign_guests, root, other))
            for other in ARCHITECTURES
            if other != own
        ),
        look("libvirt", lambda: probes.libvirt(root)),
        *probes.tools(root),
        look("build tools", lambda: probes.build_tools(root)),
        look("user", lambda: probes.users(root, os.getuid())),
        look("keyring", lambda: keyring_check(root)),
        look("mirror", lambda: mirror(root, environment)),
        look("disk space (cache)", lambda: probes.disk_space(paths.cache, "cache", _CACHE_BYTES)),
        look("disk space (state)", lambda: probes.disk_space(paths.state, "state", _STATE_BYTES)),
        look("memory", lambda: probes.memory(root, guest_mib)),
        look("load", lambda: probes.load(root, cpus)),
        look("governor", lambda: probes.governor(root)),
        look("turbo", lambda: probes.turbo(root)),
        look("smt", lambda: probes.smt(root)),
        look("clock", lambda: probes.clocksource(root)),
        look("nesting", lambda: probes.nesting(root)),
    ]


def mirror(root: Path, environment: Mapping[str, str]) -> Check:
    """Whether the Debian mirror that kab takes kernels from answers, asked as APT would ask it."""
    try:
        uri = find_mirrors(environment=environment, apt_directory=root / "etc/apt").archive
    except (ConfigError, HostError) as error:
        return Check(name="mirror", status=CheckStatus.FAIL, detail=error.message, remedy=error.remedy)
    try:
        seconds = reach(uri)
    except HostError as error:
        remedy = f"Mend the network or its proxy (see apt.conf). {error.remedy}"
        return Check(name="mirror", status=CheckStatus.FAIL, detail=error.message, remedy=remedy)
    return Check(name="mirror", status=CheckStatus.OK, detail=f"{uri} answers in {1000 * seconds:.0f} ms")
