"""HostDisks with real files, real nbdkit and real loop devices."""

import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.errors import ConfigError, GuestLostError, HostError
from harness.guest.disks import HostDisks
from harness.guest.nbd import nbdkit_argv
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.model.guest import MIB, DiskBackend, DiskBus, DiskSpec

pytestmark = pytest.mark.integration

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
NBD = DiskSpec(size_bytes=64 * MIB)
FILE = DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.FILE, size_bytes=16 * MIB)


@pytest.fixture
def lease(tmp_path):
    with Lease(Paths(cache=tmp_path / "cache", state=tmp_path / "state")) as lease:
        yield lease


@pytest.fixture
def disks(lease):
    return HostDisks(lease)


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def block_spec(device: str) -> DiskSpec:
    return DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.BLOCK, size_bytes=0, device=device)


class NbdClient:
    """As much of the NBD protocol as it takes to send requests without waiting for their replies."""

    READ, WRITE = 0, 1

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        magic, _, _ = struct.unpack(">8s8sH", self._receive(18))
        assert magic == b"NBDMAGIC"
        # NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES, then NBD_OPT_EXPORT_NAME of the default export.
        self._socket.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))
        self.size_bytes, _ = struct.unpack(">QH", self._receive(10))

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self._socket.recv(count - len(data))
            assert chunk, "the server hung up"
            data += chunk
        return data

    def send(self, kind: int, handle: int, offset: int, data: bytes | int) -> None:
        length = data if isinstance(data, int) else len(data)
        self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, handle, offset, length))
        if not isinstance(data, int):
            self._socket.sendall(data)

    def reply(self) -> int:
        magic, error, handle = struct.unpack(">IIQ", self._receive(16))
        assert (magic, error) == (0x67446698, 0)
        return handle

    def read(self, offset: int, length: int) -> bytes:
        self.send(self.READ, 0, offset, length)
        self.reply()
        return self._receive(length)

    def close(self) -> None:
        self._socket.close()


def test_file_is_allocated_and_removed(disks, scratch):
    with disks.attach(FILE, serial="kab-1", scratch=scratch) as disk:
        assert disk.path is not None
        status = disk.path.stat()
        assert status.st_size == 16 * MIB
        assert status.st_blocks * 512 >= 16 * MIB
        assert (disk.serial, disk.spec) == ("kab-1", FILE)
    assert list(scratch.iterdir()) == []


def test_file_is_removed_after_a_failure(disks, scratch):
    with pytest.raises(RuntimeError), disks.attach(FILE, serial="kab-1", scratch=scratch):
        raise RuntimeError
    assert list(scratch.iterdir()) == []


def test_file_larger_than_the_free_space_is_refused_before_anything_is_made(disks, scratch):
    huge = DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.FILE, size_bytes=1 << 50)
    with pytest.raises(HostError, match="too little space"), disks.attach(huge, serial="kab-1", scratch=scratch):
        pass
    assert list(scratch.iterdir()) == []


@ROOT_ONLY
def test_file_on_a_disk_that_is_full(disks, tmp_path):
    """A real filesystem that says it has room for the file's data and has not for the file."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "none", folder], check=True)
    try:
        with (
            pytest.raises(HostError, match="too little space"),
            disks.attach(
                DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.FILE, size_bytes=64 * MIB),
                serial="kab-1",
                scratch=folder,
            ),
        ):
            pass
        assert list(folder.iterdir()) == []
    finally:
        subprocess.run(["umount", folder], check=True)


def test_null_blk_needs_nothing_of_the_host(disks, scratch):
    spec = DiskSpec(bus=DiskBus.NULL_BLK, backend=DiskBackend.NONE, latency_s=0.002)
    with disks.attach(spec, serial="kab-1", scratch=scratch) as disk:
        assert disk.path is None
        assert list(scratch.iterdir()) == []


def test_impossible_combinations_are_refused(disks, scratch):
    slow_file = DiskSpec(bus=DiskBus.NVME, backend=DiskBackend.FILE, latency_s=0.002)
    with pytest.raises(ConfigError, match="latency") as raised:
        disks.attach(slow_file, serial="kab-1", scratch=scratch)
    assert "backend=nbd" in raised.value.remedy
    passthrough = DiskSpec(bus=DiskBus.NVME_PCI, backend=DiskBackend.NONE, size_bytes=0, device="0000:01:00.0")
    with pytest.raises(ConfigError, match="nvme-pci"):
        disks.attach(passthrough, serial="kab-1", scratch=scratch)
    with pytest.raises(ConfigError, match="serial"):
        disks.attach(FILE, serial="kab-0123456789abcdefghi", scratch=scratch)


def test_latency_below_a_millisecond_is_refused_not_rounded():
    with pytest.raises(ConfigError, match="500 us"):
        nbdkit_argv(Path("/s"), size_bytes=MIB, latency_s=0.0005)
    assert "rdelay=2ms" in nbdkit_argv(Path("/s"), size_bytes=MIB, latency_s=0.002)
    assert "--filter=delay" not in nbdkit_argv(Path("/s"), size_bytes=MIB, latency_s=0.0)


def test_nbd_keeps_data_and_goes_with_the_context(disks, scratch):
    with disks.attach(NBD, serial="kab-1", scratch=scratch) as disk:
        assert disk.path is not None
        client = NbdClient(disk.path)
        assert client.size_bytes == 64 * MIB
        client.send(client.WRITE, 7, 4096, b"kab" * 100)
        assert client.reply() == 7
        assert client.read(4096, 300) == b"kab" * 100
        client.close()
    assert not disk.path.exists()
    assert processes_with(str(disk.path)) == []


@pytest.mark.parametrize("kind", [NbdClient.READ, NbdClient.WRITE])
def test_nbd_requests_in_flight_together_take_one_latency(disks, scratch, kind):
    spec = DiskSpec(size_bytes=64 * MIB, latency_s=0.1)
    with disks.attach(spec, serial="kab-1", scratch=scratch) as disk:
        client = NbdClient(disk.path)
        started = time.monotonic()
        for number in range(32):
            client.send(kind, number, number * 16384, b"x" * 512 if kind == client.WRITE else 512)
        handles = set()
        for _ in range(32):
            handles.add(client.reply())
            if kind == client.READ:
                client._receive(512)
        took_s = time.monotonic() - started
        client.close()
    assert handles == set(range(32))
    # One after the other they would take 3.2 s.
    assert 0.1 <= took_s < 1.0


def test_nbdkit_killed_meanwhile_is_the_hosts_fault(disks, scratch):
    def trial() -> None:
        with disks.attach(NBD, serial="kab-1", scratch=scratch) as disk:
            (pid,) = processes_with(str(disk.path))
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: processes_with(str(disk.path)) == [])
            raise RuntimeError("what the guest saw of it")

    with pytest.raises(GuestLostError, match=r"nbdkit.* status -9") as raised:
        trial()
    assert isinstance(raised.value.__context__, RuntimeError)


def test_nbdkit_that_does_not_start_is_told_with_its_words(disks, scratch):
    (scratch / "nbd.sock").touch()
    with pytest.raises(HostError, match="in use") as raised, disks.attach(NBD, serial="kab-1", scratch=scratch):
        pass
    assert not isinstance(raised.value, GuestLostError)


def test_nbd_disk_larger_than_memory_is_refused(disks, scratch):
    huge = DiskSpec(size_bytes=1 << 50)
    with pytest.raises(HostError, match="too little memory"), disks.attach(huge, serial="kab-1", scratch=scratch):
        pass


def test_socket_path_too_long_is_told_with_its_remedy(disks, tmp_path):
    folder = tmp_path / ("x" * 110)
    folder.mkdir()
    with (
        pytest.raises(HostError, match="107 bytes") as raised,
        disks.attach(NBD, serial="kab-1", scratch=folder),
    ):
        pass
    assert "KAB_STATE_DIR" in raised.value.remedy


def test_not_a_block_device(disks, scratch):
    for device in ("/dev/null", "/dev/no-such-device"):
        with (
            pytest.raises(ConfigError, match=device),
            disks.attach(block_spec(device), serial="kab-1", scratch=scratch),
        ):
            pass


@pytest.fixture
def loop(tmp_path):
    """A loop device over an empty file of 128 MiB."""
    backing = tmp_path / "backing"
    backing.touch()
    os.truncate(backing, 128 * MIB)
    made = subprocess.run(
        ["losetup", "--find", "--show", "--partscan", backing], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    device = made.stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


@ROOT_ONLY
def test_block_device_is_claimed_whole_and_left_empty(disks, scratch, loop, tmp_path):
    link = tmp_path / "by-id"
    link.symlink_to(loop)
    filesystem = tmp_path / "filesystem"
    subprocess.run(["mkfs.ext4", "-q", filesystem, "16M"], check=True)
    # Twice, as for two trials: the first one's filesystem must not be in the way of the second.
    for _ in range(2):
        with disks.attach(block_spec(f"/dev/../{link}"), serial="kab-1", scratch=scratch) as disk:
            assert disk.path == Path(loop)
            assert disk.spec.size_bytes == 128 * MIB
            with pytest.raises(OSError, match="busy"):
                os.open(loop, os.O_RDWR | os.O_EXCL)
            # As a guest would: mkfs on the host is kept off.
            Path(loop).write_bytes(filesystem.read_bytes())
    assert subprocess.run(["wipefs", "--noheadings", loop], capture_output=True, check=True).stdout == b""


@ROOT_ONLY
def test_block_device_with_a_filesystem_is_refused_unless_given_up(lease, scratch, loop):
    subprocess.run(["mkfs.ext4", "-F", "-q", "-L", "precious", loop], check=True)
    for other in ("", "/dev/null", f"{loop}x"):
        with (
            pytest.raises(ConfigError, match="ext4 precious") as raised,
            HostDisks(lease, destroy_data=other).attach(block_spec(loop), serial="kab-1", scratch=scratch),
        ):
            pass
        assert f"--destroy-data {loop}" in raised.value.remedy
    # Refusing has not harmed it.
    subprocess.run(["e2fsck", "-fn", loop], check=True, capture_output=True)
    with HostDisks(lease, destroy_data=loop).attach(block_spec(loop), serial="kab-1", scratch=scratch) as disk:
        assert disk.path == Path(loop)


@ROOT_ONLY
def test_mounted_block_device_is_refused_whatever_the_flag_says(lease, scratch, loop, tmp_path):
    subprocess.run(["mkfs.ext4", "-F", "-q", loop], check=True)
    with ExitStack() as stack:
        place = tmp_path / "mounted"
        place.mkdir()
        subprocess.run(["mount", loop, place], check=True)
        stack.callback(subprocess.run, ["umount", place], check=True)
        with (
            pytest.raises(ConfigError, match=f"mounted on {place}"),
            HostDisks(lease, destroy_data=loop).attach(block_spec(loop), serial="kab-1", scratch=scratch),
        ):
            pass


@ROOT_ONLY
def test_partitioned_block_device_is_refused(disks, scratch, loop):
    # An MBR with one Linux partition of 64 MiB at 1 MiB.
    entry = struct.pack("<BBBBBBBBII", 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, 131072)
    Path(loop).write_bytes(b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa")
    subprocess.run(["partx", "--add", loop], check=True)
    with (
        pytest.raises(ConfigError, match=rf"partitions \({loop.removeprefix('/dev/')}p1\), a signature of dos"),
        disks.attach(block_spec(loop), serial="kab-1", scratch=scratch),
    ):
        pass


@ROOT_ONLY
def test_block_device_in_use_by_a_program_is_refused(disks, scratch, loop):
    descriptor = os.open(loop, os.O_RDWR | os.O_EXCL)
    try:
        with (
            pytest.raises(ConfigError, match="in use by another program"),
            disks.attach(block_spec(loop), serial="kab-1", scratch=scratch),
        ):
            pass
    finally:
        os.close(descriptor)


def processes_with(word: str) -> list[int]:
    """Ids of nbdkit processes with `word` among their arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"nbdkit") and word.encode() in words:
            found.append(int(entry.parent.name))
    return found


def wait_until(condition, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@ROOT_ONLY
def test_raw_data_without_a_signature_is_data(disks, scratch, loop):
    spec = DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.BLOCK, size_bytes=0, device=loop)
    with Path(loop).open("r+b") as device:
        device.seek(4096)
        device.write(b"pages of a database on a raw device")
    with pytest.raises(ConfigError, match=r"is not empty: it holds data.*\n.*--destroy-data"):
        disks.check(spec)
    consenting = HostDisks(disks._lease, destroy_data=loop)
    consenting.check(spec)
    with consenting.attach(spec, serial="kab-raw", scratch=scratch):
        pass
    # What was ours is gone, and the next trial needs no consent.
    disks.check(spec)


@ROOT_ONLY
@pytest.mark.parametrize("start_mib", [8, 64, 100])
def test_data_between_empty_ends_is_data(disks, scratch, loop, start_mib):
    with Path(loop).open("r+b") as device:
        device.seek(start_mib * MIB)
        device.write(os.urandom(20 * MIB))
    with (
        pytest.raises(ConfigError, match="it holds data, though no filesystem") as raised,
        disks.attach(block_spec(loop), serial="kab-1", scratch=scratch),
    ):
        pass
    assert f"--destroy-data {loop}" in raised.value.remedy


@ROOT_ONLY
def test_zeros_that_were_written_are_no_data(disks, loop):
    with Path(loop).open("r+b") as device:
        device.seek(8 * MIB)
        device.write(bytes(20 * MIB))
    disks.check(block_spec(loop))


def make_filesystem(device: str, label: str) -> None:
    """As a guest would: mkfs on the host is kept off."""
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(128 * MIB)
        subprocess.run(["mkfs.ext4", "-F", "-q", "-L", label, image.name], check=True, capture_output=True)
        with Path(device).open("r+b") as target:
            target.write(Path(image.name).read_bytes())


@ROOT_ONLY
def test_what_a_killed_trial_left_is_known_by_its_serial(lease, disks, scratch, loop):
    # As after kill -9: the claim never ends.
    killed = disks.attach(block_spec(loop), serial="kab-0123abcd", scratch=scratch)
    with ExitStack() as stack:
        stack.enter_context(killed)
        make_filesystem(loop, "kab-0123abcd")
        with Path(loop).open("r+b") as device:
            device.seek(100 * MIB)
            device.write(os.urandom(MIB))
        after = HostDisks(lease)
        after.check(block_spec(loop))
        # Somebody else's since: of another label, or of none.
        for label in ("precious", "", "kab-0123abce"):
            make_filesystem(loop, label)
            with pytest.raises(ConfigError, match="is not empty"):
                after.check(block_spec(loop))
        make_filesystem(loop, "kab-0123abcd")
    after.check(block_spec(loop))


@ROOT_ONLY
def test_what_a_trial_left_in_order_is_known_until_somebody_writes(disks, scratch, loop):
    with disks.attach(block_spec(loop), serial="kab-0123abcd", scratch=scratch), Path(loop).open("r+b") as device:
        device.seek(20 * MIB)
        device.write(os.urandom(60 * MIB))
    disks.check(block_spec(loop))
    with disks.attach(block_spec(loop), serial="kab-4567abcd", scratch=scratch):
        pass
    disks.check(block_spec(loop))
    with Path(loop).open("r+b") as device:
        device.seek(90 * MIB)
        device.write(os.urandom(4 * MIB))
    with pytest.raises(ConfigError, match="it holds data"):
        disks.check(block_spec(loop))


@ROOT_ONLY
def test_notes_that_cannot_be_read_make_nothing_ours(disks, lease, scratch, loop):
    with ExitStack() as stack:
        stack.enter_context(disks.attach(block_spec(loop), serial="kab-0123abcd", scratch=scratch))
        make_filesystem(loop, "")
        (note,) = lease.paths.devices.iterdir()
        for text in ("{", "[]", '{"serials": [""], "left": ""}', '{"serials": [null, 1], "left": ""}', "{}"):
            note.write_text(text)
            with pytest.raises(ConfigError, match="is not empty"):
                disks.check(block_spec(loop))
