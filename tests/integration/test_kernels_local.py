"""Kernels named by packages, files, trees and `host`, made from a real one of the host's mirror."""

import gzip
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.host.paths import Paths
from harness.kernels.bzimage import has_pvh_note, read_boot_image
from harness.kernels.debian import DebianSource
from harness.kernels.library import KernelLibrary
from harness.kernels.local import LocalSource
from harness.kernels.modules import read_module
from harness.parse.kernelspec import parse_kernel_spec
from harness.parse.modules import module_name

pytestmark = pytest.mark.integration

DATA = Path(__file__).parents[1] / "data" / "kernels"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with packages of both layouts, and a cache."""
    folder = tmp_path_factory.mktemp("local")
    paths = Paths(cache=folder / "cache", state=folder / "state")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAB_DEBIAN_MIRROR", "KAB_DEBIAN_SECURITY_MIRROR"):
            patch.delenv(name, raising=False)
        patch.setenv("KAB_DEBIAN_SUITES", "bullseye-security trixie-backports")
        debian = DebianSource(paths)
        for spec in ("debian:5.10", "debian:trixie-backports"):
            target = folder / spec.split(":")[1]
            target.mkdir()
            debian.download(debian.choose(parse_kernel_spec(spec)), target, lambda _: None)
    return folder


@pytest.fixture
def library(home):
    with KernelLibrary(Paths(cache=home / "cache", state=home / "state")) as made:
        yield made


def packages(home, name):
    return sorted(str(path) for path in (home / name).glob("*.deb"))


def spec_of(home, name):
    return f"deb:{','.join(packages(home, name))}"


@pytest.mark.parametrize("name", ["5.10", "trixie-backports"])
def test_packages_of_both_layouts(home, library, name):
    kernel = library.resolve(spec_of(home, name))
    assert kernel.source == "deb"
    assert kernel.version[0].isdigit()
    assert read_boot_image(kernel.vmlinuz).release == kernel.release
    assert has_pvh_note(kernel.vmlinux)
    assert kernel.config is not None
    assert kernel.changelog is not None
    names = [module_name(path.name) for path in library.modules_for(kernel, ["btrfs", "null_blk"])]
    assert {"btrfs", "null_blk"} <= set(names)
    assert library.resolve(spec_of(home, name)).digest == kernel.digest


def test_part_of_a_split_kernel(home, library):
    binary = next(path for path in packages(home, "trixie-backports") if "linux-binary" in path)
    with pytest.raises(ConfigError, match="without its modules") as caught:
        library.resolve(f"deb:{binary}")
    assert "linux-modules-" in caught.value.remedy
    base = next(path for path in packages(home, "trixie-backports") if "linux-base" in path)
    with pytest.raises(ConfigError, match="holds no kernel image"):
        library.resolve(f"deb:{base}")


def test_packages_of_two_kernels(home, library):
    both = packages(home, "5.10") + packages(home, "trixie-backports")
    with pytest.raises(ConfigError, match="holds several kernels"):
        library.resolve(f"deb:{','.join(both)}")


def test_cut_package(home, library, tmp_path):
    cut = tmp_path / "cut.deb"
    cut.write_bytes(Path(packages(home, "5.10")[0]).read_bytes()[:1_000_000])
    with pytest.raises(ConfigError, match=r"cannot unpack .*cut\.deb"):
        library.resolve(f"deb:{cut}")
    assert list((home / "cache/kernels").glob("partial-*")) == []


def test_absent_files(library, tmp_path):
    for spec in (f"deb:{tmp_path}/a.deb", f"file:{tmp_path}/bzImage", f"tree:{tmp_path}"):
        with pytest.raises(ConfigError, match="cannot read"):
            library.resolve(spec)


def test_image_with_its_modules_is_the_same_kernel(home, library):
    packed = library.resolve(spec_of(home, "5.10"))
    kernel = library.resolve(f"file:{packed.vmlinuz},modules={packed.modules}")
    assert (kernel.digest, kernel.release, kernel.source) == (packed.digest, packed.release, "file")
    # The root of an installation does as well.
    assert library.resolve(f"file:{packed.vmlinuz},modules={packed.directory}").digest == packed.digest


def test_image_alone(home, library):
    packed = library.resolve(spec_of(home, "5.10"))
    kernel = library.resolve(f"file:{packed.vmlinuz}")
    assert kernel.modules is None
    assert kernel.digest != packed.digest
    assert library.modules_for(kernel, ["btrfs"]) == ()


def test_modules_of_another_kernel(home, library):
    old, new = (library.resolve(spec_of(home, name)) for name in ("5.10", "trixie-backports"))
    with pytest.raises(ConfigError, match="does not hold the modules of"):
        library.resolve(f"file:{old.vmlinuz},modules={new.modules}")


def test_image_for_another_architecture(library, tmp_path):
    image = tmp_path / "Image"
    image.write_bytes(b"MZ\0\x91" + bytes(0x34) + b"ARM\x64" + bytes(4096))
    with pytest.raises(ConfigError, match="is a kernel for arm64"):
        library.resolve(f"file:{image}")


def test_replaced_image_is_another_kernel(home, library, tmp_path):
    old, new = (library.resolve(spec_of(home, name)) for name in ("5.10", "trixie-backports"))
    image = tmp_path / "bzImage"
    shutil.copyfile(old.vmlinuz, image)
    assert library.resolve(f"file:{image}").release == old.release
    shutil.copyfile(new.vmlinuz, image)
    assert library.resolve(f"file:{image}").release == new.release


def build_tree(kernel, directory, order):
    """A built tree's files of interest: image, .config, modules.order in the way of old or new kernels."""
    (directory / "arch/x86/boot").mkdir(parents=True)
    shutil.copyfile(kernel.vmlinuz, directory / "arch/x86/boot/bzImage")
    shutil.copyfile(kernel.config, directory / ".config")
    shutil.copyfile(kernel.modules / "modules.builtin", directory / "modules.builtin")
    lines = []
    for name in ("fs/btrfs/btrfs", "crypto/xor", "lib/zstd/zstd_compress", "lib/raid6/raid6_pq", "lib/libcrc32c"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.ko").write_bytes(read_module(kernel.modules / "kernel" / f"{name}.ko"))
        lines.append(order.format(name))
    (directory / "modules.order").write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("order", ["kernel/{}.ko", "{}.o"])
def test_built_tree(home, library, tmp_path, order):
    packed = library.resolve(spec_of(home, "5.10"))
    build_tree(packed, tmp_path, order)
    kernel = library.resolve(f"tree:{tmp_path}")
    assert (kernel.release, kernel.source) == (packed.release, "tree")
    assert kernel.config.read_bytes() == packed.config.read_bytes()
    names = [module_name(path.name) for path in library.modules_for(kernel, ["btrfs", "ext4"])]
    assert names[-1] == "btrfs"
    assert set(names[:-1]) == {"xor", "zstd_compress", "raid6_pq", "libcrc32c"}
    assert (tmp_path / "fs/btrfs/btrfs.ko").is_file()
    # A rebuilt module makes another kernel; one that is missing is told.
    module = tmp_path / "crypto/xor.ko"
    subprocess.run(["objcopy", "--add-section", f"new={tmp_path}/.config", str(module)], check=True)
    assert library.resolve(f"tree:{tmp_path}").digest != kernel.digest
    module.unlink()
    with pytest.raises(ConfigError, match=r"cannot read .*xor\.ko"):
        library.resolve(f"tree:{tmp_path}")


def test_host_without_a_kernel(home, tmp_path):
    paths = Paths(cache=home / "cache", state=home / "state")
    with KernelLibrary(paths, local=LocalSource(tmp_path)) as library, pytest.raises(ConfigError) as caught:
        library.resolve("host")
    assert platform.release() in caught.value.message


def test_host(home, library, tmp_path, monkeypatch):
    packed = library.resolve(spec_of(home, "5.10"))
    monkeypatch.setattr(platform, "release", lambda: packed.release)
    (tmp_path / "boot").mkdir()
    shutil.copyfile(packed.vmlinuz, tmp_path / "boot" / f"vmlinuz-{packed.release}")
    shutil.copytree(packed.modules, tmp_path / "lib/modules" / packed.release)
    paths = Paths(cache=home / "cache", state=home / "state")
    with KernelLibrary(paths, local=LocalSource(tmp_path)) as other:
        kernel = other.resolve("host")
    assert (kernel.digest, kernel.source) == (packed.digest, "host")


def test_recorded_head_is_no_whole_kernel_but_harmless(library, tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(gzip.decompress((DATA / "vmlinuz-7.2.12.head.gz").read_bytes()))
    kernel = library.resolve(f"file:{image}")
    assert kernel.release == "7.2.12+deb13-cloud-amd64"
    assert kernel.vmlinux is None
