"""Boot to the first command over SSH: kab beside virtme-ng's `vng --exec`, same kernels, interleaved.

    python benchmarks/boot.py [--rounds 5] [--accel auto|kvm|tcg] [--vng PATH] [--series [6.1 ...]] [--spec SPEC...]

Stock Debian kernels: the cloud flavour (what kab boots by default) and the full one (virtme-ng needs 9p, which the
cloud flavour lacks). Prints medians of seconds from the start of QEMU's start-up to the end of `uname -r` for kab, and
of the whole `vng --exec 'uname -r'` for virtme-ng. virtme-ng takes modules from /lib/modules: as root, a link is
made there for each kernel and removed again.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.cli.progress import LineProgress
from harness.errors import HostError
from harness.host import process
from harness.lab import Lab
from harness.model.experiment import DEFAULT_DISK, DEFAULT_FILESYSTEM
from harness.model.guest import Accelerator, GuestSpec
from harness.model.kernel import Kernel
from harness.run.trial import Bench, modules_wanted, new_boot_name

_VNG_TIMEOUT_S = 180.0
_COMMAND_TIMEOUT_S = 30.0


def kab_boot_s(bench: Bench, kernel: Kernel) -> float:
    """Seconds from asking libvirt for the guest to the end of its first command."""
    with bench.scratch(new_boot_name()) as scratch:
        wanted = modules_wanted(DEFAULT_DISK, DEFAULT_FILESYSTEM)
        plan = bench.boot_plan(kernel, GuestSpec(), (), wanted, scratch)
        started = time.monotonic()
        with bench.hypervisor.boot(plan) as guest:
            said = guest.run("uname -r", timeout_s=_COMMAND_TIMEOUT_S).stdout.strip()
            taken_s = time.monotonic() - started
    if said != kernel.release:
        raise HostError(f"{kernel.release} calls itself {said}")
    return taken_s


def vng_boot_s(vng: Path, kernel: Kernel, folder: Path, accelerator: Accelerator) -> float:
    """Seconds that `vng --exec 'uname -r'` takes with the same processors and memory."""
    image = folder / f"vmlinuz-{kernel.release}"
    if not image.exists():
        image.symlink_to(kernel.vmlinuz)
    guest = GuestSpec()
    words = f"vng --run {image} --cpus {guest.vcpus} --memory {guest.memory_mib}M --verbose --exec 'uname -r'"
    if accelerator is Accelerator.TCG:
        words += " --disable-kvm"
    environment = {**os.environ, "PATH": f"{vng.parent}:{os.environ['PATH']}"}
    started = time.monotonic()
    # vng wants a terminal; script(1) is one.
    done = process.run(["script", "-qec", words, "/dev/null"], timeout_s=_VNG_TIMEOUT_S, env=environment)
    if kernel.release not in done.stdout.splitlines():
        raise HostError(f"vng did not say {kernel.release}:\n{done.stdout[-2000:]}")
    return time.monotonic() - started


@contextmanager
def modules_in_place(kernels: Sequence[Kernel]) -> Iterator[None]:
    """Links in /lib/modules for kernels that have no folder there."""
    links = []
    try:
        for kernel in kernels:
            link = Path("/lib/modules") / kernel.release
            if kernel.modules is not None and not link.exists():
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(kernel.modules)
                links.append(link)
        yield
    finally:
        for link in links:
            link.unlink()


@contextmanager
def installed_vng(given: Path | None, folder: Path) -> Iterator[Path]:
    """The vng named, or one installed from PyPI for as long as this runs."""
    if given is None:
        process.run(["python3", "-m", "venv", folder / "vng"], timeout_s=120)
        process.run([folder / "vng/bin/pip", "install", "-q", "virtme-ng"], timeout_s=300)
        given = folder / "vng/bin/vng"
    yield given.absolute()


def row(name: str, kernel: Kernel, taken_s: Sequence[float]) -> str:
    """A line of the table: median and range."""
    return f"{name:<6} {kernel.release:<30} {statistics.median(taken_s):7.2f} {min(taken_s):7.2f} {max(taken_s):7.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accel", choices=["auto", "kvm", "tcg"], default="auto")
    parser.add_argument("--vng", type=Path, help="an installed vng; else one is installed from PyPI")
    parser.add_argument("--series", nargs="*", default=["6.1", "7.2"])
    parser.add_argument("--spec", nargs="+", default=[], help="further kernels, for kab alone (git:TREE@REV, ...)")
    options = parser.parse_args()

    with (
        TemporaryDirectory(prefix="kab-bench-") as name,
        Lab(progress=LineProgress(sys.stderr)) as lab,
        installed_vng(options.vng, Path(name)) if options.series else nullcontext(Path()) as vng,
    ):
        cloud = [lab.resolve(spec) for spec in (*(f"debian:{series}" for series in options.series), *options.spec)]
        full = [lab.resolve(f"debian:{series}/amd64") for series in options.series]
        with (
            modules_in_place(full),
            lab.bench(accelerator=options.accel) as opened,
        ):
            bench = opened.ready(cloud[0])
            taken_s: dict[tuple[str, str], list[float]] = {}
            for number in range(options.rounds + 1):
                for kernel in (*cloud, *full):
                    taken_s.setdefault(("kab", kernel.release), []).append(kab_boot_s(bench, kernel))
                for kernel in full:
                    vng_s = vng_boot_s(vng, kernel, Path(name), bench.accelerator)
                    taken_s.setdefault(("vng", kernel.release), []).append(vng_s)
                if number == 0:
                    # Caches are cold: page cache, initramfs, vng's own.
                    taken_s.clear()
            accelerator = bench.accelerator
    print(f"Boot to the first command, {accelerator}, median of {options.rounds}, interleaved (seconds)")
    print(f"{'tool':<6} {'kernel':<30} {'median':>7} {'min':>7} {'max':>7}")
    for kernel in cloud:
        print(row("kab", kernel, taken_s["kab", kernel.release]))
    for kernel in full:
        ours, theirs = taken_s["kab", kernel.release], taken_s["vng", kernel.release]
        print(row("kab", kernel, ours))
        print(row("vng", kernel, theirs))
        print(f"       kab / vng on {kernel.release}: {statistics.median(ours) / statistics.median(theirs):.2f}")


if __name__ == "__main__":
    main()
