"""Initramfs archives: read back by a reader of its own, and their scripts by the shell that will run them."""

import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.images import cpio
from harness.images.initramfs import BASE_MODULES, boot_archive, build_initramfs, ensure_initramfs, module_name
from harness.images.recipe import load_recipe

pytestmark = pytest.mark.unit

# A static ELF64 with one PT_LOAD header, as far as anybody looks here.
STATIC = b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + (64).to_bytes(8, "little")
STATIC = STATIC.ljust(54, b"\0") + (56).to_bytes(2, "little") + (1).to_bytes(2, "little")
STATIC = STATIC.ljust(64, b"\0") + (1).to_bytes(4, "little") + bytes(52)


@dataclass(frozen=True)
class Found:
    mode: int
    content: bytes
    device: tuple[int, int]


def unpack(data: bytes) -> dict[str, Found]:
    """Every entry of concatenated newc archives, as the kernel reads them: zeros between archives are skipped."""
    found: dict[str, Found] = {}
    at = 0
    while at < len(data):
        if data[at : at + 4] == bytes(4):
            at += 4
            continue
        assert data[at : at + 6] == b"070701", at
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_bytes, size = fields[11], fields[6]
        name = data[at + 110 : at + 110 + name_bytes - 1].decode()
        start = at + (110 + name_bytes + 3) // 4 * 4
        at = start + (size + 3) // 4 * 4
        assert (fields[2], fields[3], fields[5]) == (0, 0, 0), "owner root, no time"
        if name != "TRAILER!!!":
            found[name] = Found(fields[1], data[start : start + size], (fields[9], fields[10]))
    return found


@pytest.fixture
def busybox(tmp_path) -> Path:
    path = tmp_path / "busybox"
    path.write_bytes(STATIC)
    return path


def modules(tmp_path: Path, *names: str) -> list[Path]:
    folder = tmp_path / "modules"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(f"module {name}".encode())
    return [folder / name for name in names]


def build(out: Path, paths: list[Path], busybox: Path) -> dict[str, Found]:
    build_initramfs(out, paths, Path.read_bytes, recipe=load_recipe(), busybox=busybox)
    return unpack(out.read_bytes())


def test_archive_holds_what_the_kernel_needs_first(tmp_path, busybox):
    found = build(tmp_path / "a.cpio", [], busybox)
    assert found["init"].mode == stat.S_IFREG | 0o755
    assert found["bin/busybox"].content == STATIC
    assert found["dev/console"].mode == stat.S_IFCHR | 0o600
    assert found["dev/console"].device == (5, 1)
    assert list(found).index("dev") < list(found).index("dev/console")


def test_modules_keep_their_order_and_split_behind_the_last_base_module(tmp_path, busybox):
    paths = modules(tmp_path, "virtio.ko", "virtio_blk.ko.xz", "failover.ko", "virtio-net.ko", "xor.ko", "btrfs.ko.zst")
    found = build(tmp_path / "a.cpio", paths, busybox)
    assert [name for name in found if name.endswith(".ko")] == [
        "modules/early/000-virtio.ko",
        "modules/early/001-virtio_blk.ko",
        "modules/early/002-failover.ko",
        "modules/early/003-virtio_net.ko",
        "modules/late/004-xor.ko",
        "modules/late/005-btrfs.ko",
    ]
    assert found["modules/late/005-btrfs.ko"].content == b"module btrfs.ko.zst"


def test_without_any_base_module_all_are_late(tmp_path, busybox):
    found = build(tmp_path / "a.cpio", modules(tmp_path, "xor.ko", "btrfs.ko"), busybox)
    assert [name for name in found if "early/" in name] == []


def test_same_inputs_same_bytes(tmp_path, busybox):
    paths = modules(tmp_path, "virtio_blk.ko", "btrfs.ko")
    build(tmp_path / "a.cpio", paths, busybox)
    build(tmp_path / "b.cpio", paths, busybox)
    assert (tmp_path / "a.cpio").read_bytes() == (tmp_path / "b.cpio").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.cpio", "b.cpio", "busybox", "modules"}


def test_a_module_that_cannot_be_read_leaves_nothing(tmp_path, busybox):
    def refuse(path: Path) -> bytes:
        raise HostError(f"{path} is damaged")

    with pytest.raises(HostError, match="damaged"):
        build_initramfs(
            tmp_path / "a.cpio", modules(tmp_path, "btrfs.ko"), refuse, recipe=load_recipe(), busybox=busybox
        )
    assert {path.name for path in tmp_path.iterdir()} == {"busybox", "modules"}


def test_the_cache_builds_once_and_knows_changed_content(tmp_path, busybox):
    paths = modules(tmp_path, "btrfs.ko")
    reads: list[Path] = []

    def read(path: Path) -> bytes:
        reads.append(path)
        return path.read_bytes()

    def ensure() -> Path:
        return ensure_initramfs(tmp_path / "cache", paths, read, recipe=load_recipe(), busybox=busybox)

    first = ensure()
    assert ensure() == first
    assert reads == paths
    paths[0].write_bytes(b"another build of it")
    assert ensure() != first
    assert reads == paths * 2


def test_a_dynamic_busybox_is_refused(tmp_path, busybox):
    content = bytearray(STATIC)
    content[64] = 3  # PT_INTERP
    busybox.write_bytes(content)
    with pytest.raises(HostError, match="not statically linked"):
        build(tmp_path / "a.cpio", [], busybox)
    busybox.write_text("#!/bin/sh\n")
    with pytest.raises(HostError, match="not an executable"):
        build(tmp_path / "a.cpio", [], busybox)


def test_boot_archive_is_for_root_alone_and_follows_another(tmp_path, busybox):
    build(tmp_path / "a.cpio", [], busybox)
    keys = boot_archive({"kab/ssh_host_ed25519_key": b"secret", "kab/authorized_keys": b"public"})
    found = unpack((tmp_path / "a.cpio").read_bytes() + keys)
    assert found["kab"].mode == stat.S_IFDIR | 0o700
    assert found["kab/ssh_host_ed25519_key"] == Found(stat.S_IFREG | 0o600, b"secret", (0, 0))
    assert found["init"].mode == stat.S_IFREG | 0o755


@pytest.mark.parametrize("size", range(5))
def test_archives_are_aligned_whatever_their_content(size):
    data = cpio.archive([cpio.file("f" * (size + 1), b"x" * size)])
    assert len(data) % cpio.BLOCK_BYTES == 0
    assert unpack(data)["f" * (size + 1)].content == b"x" * size


@pytest.mark.parametrize(
    ("file", "name"),
    [("virtio-blk.ko", "virtio_blk"), ("btrfs.ko.xz", "btrfs"), ("crc32c-cryptoapi.ko.zst", "crc32c_cryptoapi")],
)
def test_module_names_are_the_kernels(file, name):
    assert module_name(Path("/lib/modules") / file) == name


def test_base_modules_are_kernel_names():
    assert all("-" not in name for name in BASE_MODULES)


@pytest.fixture
def shell() -> str:
    path = shutil.which("busybox")
    if path is None:
        pytest.skip("busybox is not installed: apt-get install busybox-static")
    return path


@pytest.mark.parametrize("script", ["init", "modules.sh", "root/usr/sbin/kab-init", "root/usr/sbin/kab-poweroff"])
def test_scripts_parse(shell, script):
    done = subprocess.run([shell, "sh", "-n", load_recipe().directory / script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("cmdline", "module", "parameters"),
    [
        ("console=ttyS0 null_blk.nr_devices=0 quiet null_blk.bs=512", "null_blk", "nr_devices=0 bs=512"),
        ("null_blk.nr_devices=0", "null", ""),
        ("a.null_blk.nr_devices=0", "null_blk", ""),
        ("console=ttyS0", "null_blk", ""),
    ],
)
def test_module_parameters_come_from_the_command_line(shell, cmdline, module, parameters):
    script = f". {load_recipe().directory}/modules.sh; cmdline='{cmdline}'; echo $(module_parameters {module})"
    done = subprocess.run([shell, "sh", "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == parameters
