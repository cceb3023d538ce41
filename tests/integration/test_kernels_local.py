"""Kernels named by packages, files, trees and `host`, made from a real one of the host's mirror."""

import gzip
import os
import platform
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.host.paths import Paths
from harness.kernels.bootimage import read_boot_image
from harness.kernels.bzimage import has_pvh_note
from harness.kernels.debian.lists import DebianLists
from harness.kernels.debian.spec import parse_debian
from harness.kernels.library import KernelLibrary
from harness.kernels.local.host import HostSource
from harness.kernels.modules import read_module
from harness.model.arch import ARM64
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
        debian = DebianLists(paths)
        for spec in ("debian:5.10", "debian:trixie-backports"):
            target = folder / spec.split(":")[1]
            target.mkdir()
            debian.download(debian.choose(parse_debian(spec, spec.removeprefix("debian:"))), target, lambda _: None)
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
    # From 7.0 on it comes in another package than the modules.
    assert (kernel.modules / "modules.builtin").stat().st_size > 1000
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
    image.write_bytes(b"MZ" + bytes(0x36) + b"RSC\x05" + bytes(4096))
    with pytest.raises(ConfigError, match="is a kernel for RISC-V"):
        library.resolve(f"file:{image}")


def test_an_image_for_arm64_is_told_from_its_header(library, tmp_path):
    image = tmp_path / "Image.gz"
    banner = b"Linux version 6.12.1-mine (me@there) #1 SMP\n"
    content = b"MZ\0\x91" + bytes(0x34) + b"ARM\x64" + bytes(4096) + banner + bytes(4096)
    image.write_bytes(gzip.compress(content))
    kernel = library.resolve(f"file:{image}")
    assert (kernel.release, kernel.architecture, kernel.source) == ("6.12.1-mine", ARM64, "file")
    # What QEMU is given is unpacked.
    assert kernel.vmlinux is not None
    assert kernel.vmlinux.read_bytes() == content
    # The cache knows it again.
    assert library.resolve(f"file:{image}") == kernel


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
    with (
        KernelLibrary(paths, sources=[partial(HostSource, root=tmp_path)]) as library,
        pytest.raises(ConfigError) as caught,
    ):
        library.resolve("host")
    assert platform.release() in caught.value.message


def test_host(home, library, tmp_path, monkeypatch):
    packed = library.resolve(spec_of(home, "5.10"))
    monkeypatch.setattr(platform, "release", lambda: packed.release)
    (tmp_path / "boot").mkdir()
    shutil.copyfile(packed.vmlinuz, tmp_path / "boot" / f"vmlinuz-{packed.release}")
    shutil.copytree(packed.modules, tmp_path / "lib/modules" / packed.release)
    paths = Paths(cache=home / "cache", state=home / "state")
    with KernelLibrary(paths, sources=[partial(HostSource, root=tmp_path)]) as other:
        kernel = other.resolve("host")
    assert (kernel.digest, kernel.source) == (packed.digest, "host")


def test_an_image_cut_short_or_damaged_is_the_users_to_mend(home, library, tmp_path):
    packed = library.resolve(spec_of(home, "5.10"))
    content = packed.vmlinuz.read_bytes()
    image = tmp_path / "bzImage"
    image.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match=f"bzImage is cut short: .* {len(content)} bytes"):
        library.resolve(f"file:{image}")
    # The older one is packed with lz4, which has no checksum.
    newer = library.resolve(spec_of(home, "trixie-backports")).vmlinuz.read_bytes()
    middle = len(newer) // 2
    image.write_bytes(newer[:middle] + bytes([newer[middle] ^ 1]) + newer[middle + 1 :])
    with pytest.raises(ConfigError, match="does not unpack"):
        library.resolve(f"file:{image}")
    build_tree(packed, tmp_path / "tree", "{}.o")
    (tmp_path / "tree/arch/x86/boot/bzImage").write_bytes(content[:-1])
    with pytest.raises(ConfigError, match="is cut short"):
        library.resolve(f"tree:{tmp_path / 'tree'}")
    assert list((home / "cache/kernels").glob("partial-*")) == []


def package(folder, name, files):
    """A Debian package whose files ``files`` puts below a folder."""
    root = folder / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    files(root)
    subprocess.run(["dpkg-deb", "--build", "-Znone", root, folder / f"{name}.deb"], check=True, capture_output=True)
    return folder / f"{name}.deb"


def test_a_package_brings_nothing_of_the_host(home, library, tmp_path):
    packed = library.resolve(spec_of(home, "5.10"))
    release = packed.release

    def image(root):
        (root / "boot").mkdir()
        shutil.copyfile(packed.vmlinuz, root / f"boot/vmlinuz-{release}")

    def linked(root):
        image(root)
        (root / "lib/modules").mkdir(parents=True)
        (root / "lib/modules" / release).symlink_to(packed.modules)

    def linked_below(root):
        image(root)
        (root / "lib/modules" / release).mkdir(parents=True)
        (root / "lib/modules" / release / "kernel").symlink_to(packed.modules / "kernel")

    def linked_module(root):
        image(root)
        (root / "lib/modules" / release / "kernel/fs").mkdir(parents=True)
        (root / "lib/modules" / release / "kernel/fs/secret.ko").symlink_to("/etc/passwd")
        (root / f"boot/config-{release}").symlink_to("/etc/passwd")

    def linked_image(root):
        (root / "boot").mkdir()
        (root / f"boot/vmlinuz-{release}").symlink_to(packed.vmlinuz)

    def fifo(root):
        image(root)
        os.mkfifo(root / "boot/fifo")

    before = {kernel.digest for kernel in library.cached()}
    for files in (linked, linked_below, linked_module, linked_image):
        with pytest.raises(ConfigError, match="leads out of"):
            library.resolve(f"deb:{package(tmp_path, files.__name__.replace('_', '-'), files)}")
    with pytest.raises(ConfigError, match="holds a FIFO"):
        library.resolve(f"deb:{package(tmp_path, 'fifo', fifo)}")

    # What a kernel can do without is passed over.
    def linked_config(root):
        image(root)
        shutil.copytree(packed.modules, root / "lib/modules" / release)
        (root / f"boot/config-{release}").symlink_to("/etc/passwd")

    sound = library.resolve(f"deb:{package(tmp_path, 'linked-config', linked_config)}")
    assert (sound.digest, sound.config) == (packed.digest, packed.config)
    assert {kernel.digest for kernel in library.cached()} == before


def test_a_second_package_does_not_go_through_the_links_of_the_first(library, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()

    def link(root):
        (root / "usr").mkdir()
        (root / "usr/lib").symlink_to(outside)

    def file(root):
        (root / "usr/lib").mkdir(parents=True)
        (root / "usr/lib/evil").write_text("x")

    names = ",".join(str(package(tmp_path, files.__name__, files)) for files in (link, file))
    with pytest.raises(ConfigError, match="holds no kernel image"):
        library.resolve(f"deb:{names}")
    assert list(outside.iterdir()) == []


def test_a_folder_of_modules_brings_nothing_from_elsewhere(home, library, tmp_path):
    packed = library.resolve(spec_of(home, "5.10"))
    modules, empty = tmp_path / packed.release, tmp_path / "empty"
    empty.mkdir()
    (modules / "kernel").mkdir(parents=True)
    (modules / "build").symlink_to("/usr/src")
    spec = f"file:{packed.vmlinuz},modules={modules}"
    (modules / "kernel/a.ko").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match=r"a\.ko leads out of"):
        library.resolve(spec)
    (modules / "kernel/a.ko").unlink()
    os.mkfifo(modules / "kernel/a.ko")
    with pytest.raises(ConfigError, match="is a FIFO"):
        library.resolve(spec)
    (modules / "kernel/a.ko").unlink()
    shutil.copyfile(next(packed.modules.rglob("btrfs.ko*")), modules / "kernel/b.ko")
    (modules / "kernel/a.ko").symlink_to("b.ko")
    assert len(list(library.resolve(spec).modules.rglob("*.ko"))) == 2
    # Also where the cache has the image without modules.
    assert library.resolve(f"file:{packed.vmlinuz}").modules is None
    for nothing, said in ((Path("/dev/zero"), "no folder of modules"), (tmp_path / "no", "no folder"), (empty, "hold")):
        with pytest.raises(ConfigError, match=said):
            library.resolve(f"file:{packed.vmlinuz},modules={nothing}")


def test_a_tree_names_no_files_outside(home, library, tmp_path):
    packed = library.resolve(spec_of(home, "5.10"))
    build_tree(packed, tmp_path / "tree", "{}.o")
    (tmp_path / "outside.ko").write_bytes(b"secret")
    order = tmp_path / "tree/modules.order"
    for line in ("../outside.o", "kernel//etc/outside.ko", "fs/../../outside.o", "\x1b[31mx.o"):
        order.write_text(f"{line}\n")
        with pytest.raises(ConfigError, match=r"modules\.order:1: .* is no module of this tree"):
            library.resolve(f"tree:{tmp_path / 'tree'}")
    (tmp_path / "tree/fs/link.ko").symlink_to(tmp_path / "outside.ko")
    order.write_text("fs/link.o\n")
    with pytest.raises(ConfigError, match="leads out of"):
        library.resolve(f"tree:{tmp_path / 'tree'}")
    order.write_bytes(b"\xff\xfe.o\n")
    with pytest.raises(ConfigError, match="cannot read"):
        library.resolve(f"tree:{tmp_path / 'tree'}")


def test_recorded_head_is_no_whole_kernel(library, tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(gzip.decompress((DATA / "vmlinuz-7.2.12.head.gz").read_bytes()))
    with pytest.raises(ConfigError, match="is cut short: its header says that it has 13785024 bytes"):
        library.resolve(f"file:{image}")
