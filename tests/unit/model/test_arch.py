"""The registry of architectures, and what is refused between two of them."""

import platform
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import ConfigError, HostError
from harness.guest.accelerator import probe_accelerator, require_native, require_sound_emulation
from harness.host import process
from harness.host.architecture import host_architecture
from harness.host.paths import Paths
from harness.images.build import image_digest
from harness.images.recipe import load_recipe
from harness.kernels.debian.flavours import FLAVOURS, architecture_of, default_flavour, flavour_of
from harness.kernels.debian.spec import parse_debian
from harness.lab.bench import require_one_architecture
from harness.model.arch import ARCHITECTURES, ARM64, BY_NAME, X86_64, of_flavour, of_release
from harness.model.guest import Accelerator, BootPlan, GuestSpec
from harness.model.kernel import Kernel
from harness.run.trial import Bench, boot_timeout_s

pytestmark = pytest.mark.unit


def kernel(architecture=X86_64):
    return Kernel(
        spec=f"debian:6.12/{architecture.flavours[0]}",
        release=f"6.12.118+deb13-{architecture.flavours[0]}",
        version="6.12.118-1",
        source="debian",
        digest="digest",
        directory=Path("/cache/digest"),
        vmlinuz=Path("/cache/digest/vmlinuz"),
        architecture=architecture,
    )


def test_nothing_is_named_twice():
    for field in ("name", "machine", "debian", "emulator", "console", "kbuild_image"):
        assert len({getattr(architecture, field) for architecture in ARCHITECTURES}) == len(ARCHITECTURES)
    assert len(set(FLAVOURS)) == len(FLAVOURS) == sum(len(known.flavours) for known in ARCHITECTURES)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_an_architecture_is_found_by_all_its_names(architecture):
    assert BY_NAME[str(architecture)] is architecture
    assert host_architecture(architecture.machine) is architecture
    for flavour in architecture.flavours:
        assert of_flavour(flavour) is architecture
        assert flavour_of(f"6.12.118+deb13-{flavour}") == flavour
        assert of_release(f"6.12.118+deb13-{flavour}") is architecture
    # Its QEMU that is missing is named with the package that brings it.
    assert f"apt-get install {architecture.emulator_package}" in process.missing_tool(architecture.emulator).remedy


def test_what_a_kernel_is_for_follows_from_its_spec(monkeypatch):
    for rest, meant in (
        ("6.12/cloud-arm64", ARM64),
        ("6.12.118+deb13-arm64", ARM64),
        ("6.12.118+deb13-cloud-amd64", X86_64),
    ):
        assert architecture_of(parse_debian(f"debian:{rest}", rest).named_flavour) is meant
    # Where nothing is said, the host's own is meant; a host that kab has no kernels for can emulate.
    for machine, meant in (("x86_64", X86_64), ("aarch64", ARM64), ("riscv64", X86_64)):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        assert architecture_of(parse_debian("debian:6.12", "6.12").named_flavour) is meant
        assert default_flavour() == meant.flavours[0]
    assert of_flavour("rt-arm64") is None


def test_kernels_of_two_architectures_are_not_compared():
    require_one_architecture(kernel(ARM64), kernel(ARM64))
    with pytest.raises(ConfigError) as caught:
        require_one_architecture(kernel(), kernel(ARM64))
    assert "cloud-amd64 is for x86-64 and" in caught.value.message
    assert "cloud-arm64 for arm64: kernels of two architectures cannot be compared" in caught.value.message
    assert caught.value.remedy


def bench(architecture):
    return Bench(
        hypervisor=SimpleNamespace(),
        disks=SimpleNamespace(),
        kernels=SimpleNamespace(modules_for=lambda *_: ()),
        image=SimpleNamespace(path=Path("/cache/root.ext4"), architecture=architecture),
        accelerator=Accelerator.TCG,
        initramfs=lambda *_: Path("/cache/initramfs"),
        scratch=lambda _: nullcontext(Path("/scratch/kab-0")),
        progress=SimpleNamespace(),
    )


def test_a_bench_boots_kernels_of_its_own_architecture_only():
    plan = bench(ARM64).boot_plan(kernel(ARM64), GuestSpec(), (), (), Path("/scratch/kab-0"))
    assert plan.architecture is ARM64
    assert plan.boot_timeout_s == ARM64.emulated_boot_timeout_s
    with pytest.raises(ConfigError, match=r"cloud-amd64 is for x86-64, and what it is compared with for arm64"):
        bench(ARM64).boot_plan(kernel(), GuestSpec(), (), (), Path("/scratch/kab-0"))


def test_time_to_boot_depends_on_who_runs_the_guest():
    assert boot_timeout_s(Accelerator.KVM, ARM64) == boot_timeout_s(Accelerator.KVM, X86_64) == 30.0
    assert boot_timeout_s(Accelerator.TCG) == 90.0


def test_guests_of_another_architecture_are_emulated_without_a_look_at_kvm(tmp_path):
    host = SimpleNamespace(name="this host", machine=lambda: "x86_64", root=tmp_path)
    plan = BootPlan(
        name="kab-0",
        kernel=Path("/cache/vmlinuz"),
        initramfs=(),
        root_image=Path("/cache/root.ext4"),
        guest=GuestSpec(),
        accelerator=Accelerator.KVM,
        architecture=ARM64,
    )
    # A hypervisor that boots nothing: asking it for more would raise.
    choice = probe_accelerator(
        SimpleNamespace(host=host), plan, paths=Paths(cache=tmp_path / "cache", state=tmp_path / "state")
    )
    assert choice.accelerator is Accelerator.TCG
    assert "The kernels are for arm64 and this host is x86_64" in choice.sentence
    assert not (tmp_path / "state").exists()
    require_native(host, X86_64)
    with pytest.raises(ConfigError, match="KVM runs guests of the host's own architecture only"):
        require_native(host, ARM64)


def test_an_old_qemu_is_refused_with_the_package_of_its_architecture():
    with pytest.raises(HostError) as caught:
        require_sound_emulation("7.2.22", ARM64)
    assert "-backports qemu-system-arm " in caught.value.remedy


def test_the_image_of_amd64_keeps_its_name(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    recipe = replace(load_recipe(), name="debian")
    there = image_digest(recipe, X86_64)
    assert there == recipe.digest(1)
    extracted = image_digest(recipe, ARM64)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    configured = image_digest(recipe, ARM64)
    # How it is made is part of what it is: a script that did not run may matter.
    assert len({there, extracted, configured, image_digest(recipe, X86_64)}) == 4
