"""The kernel cache: identity, pruning, leftovers, locks between holders."""

import multiprocessing
import os
import time

import pytest

from harness.errors import HostError, TransientHostError
from harness.host import locks
from harness.host.files import write_atomically
from harness.kernels.cache import KernelCache, SourceRecord, content_digest, source_key

pytestmark = pytest.mark.unit


def add(cache, name, size_bytes=4096):
    """A kernel of one file; returns its key and record."""
    key = source_key(name)
    with cache.adding(key) as scratch:
        entry = scratch / "entry"
        (entry / "lib/modules" / name / "kernel").mkdir(parents=True)
        (entry / "vmlinuz").write_bytes(os.urandom(size_bytes))
        facts = {"release": name, "vmlinuz": "vmlinuz", "modules": f"lib/modules/{name}"}
        record = SourceRecord(
            digest=content_digest(entry / "vmlinuz", entry / facts["modules"]),
            version=name,
            source="file",
            provenance={"image": name},
        )
        cache.add(key, record, entry, facts)
    return key, record


def age(cache, record, seconds):
    lock = cache.directory / "locks" / f"{record.digest}.lock"
    lock.touch()
    then = time.time() - seconds
    os.utime(lock, (then, then))


def test_what_was_added_is_found_by_another_cache(tmp_path):
    key, record = add(KernelCache(tmp_path), "6.1")
    cache = KernelCache(tmp_path)
    assert cache.find(key) == record
    kernel = cache.open(record, "file:x")
    assert (kernel.release, kernel.version, kernel.spec, kernel.digest) == ("6.1", "6.1", "file:x", record.digest)
    assert kernel.vmlinuz.is_file()
    assert kernel.modules.is_dir()
    assert (kernel.vmlinux, kernel.config) == (None, None)
    assert kernel.provenance == {"image": "6.1"}
    assert list(tmp_path.glob("partial-*")) == []
    cache.close()


def test_unknown_and_unreadable_records(tmp_path):
    cache = KernelCache(tmp_path)
    key, _ = add(cache, "6.1")
    assert cache.find(source_key("other")) is None
    (tmp_path / "sources" / f"{key}.json").write_text("{")
    assert cache.find(key) is None


def test_digest_is_of_content_not_of_names_or_depmod(tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / name / "kernel/fs"
        folder.mkdir(parents=True)
        (folder / "btrfs.ko").write_bytes(b"module")
        (tmp_path / name / "modules.dep").write_text(name)
        (tmp_path / f"vmlinuz-{name}").write_bytes(b"kernel")
    first = content_digest(tmp_path / "vmlinuz-a", tmp_path / "a")
    assert first == content_digest(tmp_path / "vmlinuz-b", tmp_path / "b")
    (tmp_path / "b/kernel/fs/btrfs.ko").write_bytes(b"another")
    assert first != content_digest(tmp_path / "vmlinuz-b", tmp_path / "b")
    assert first != content_digest(tmp_path / "vmlinuz-a", None)


def test_prune_removes_the_least_recently_used(tmp_path):
    cache = KernelCache(tmp_path)
    added = {name: add(cache, name, 100_000) for name in ("old", "older", "new")}
    for name, seconds in (("old", 200), ("older", 300), ("new", 100)):
        age(cache, added[name][1], seconds)
    assert [kernel.release for kernel in cache.entries()] == ["older", "old", "new"]
    size_bytes = cache.entries()[0].size_bytes
    assert size_bytes >= 100_000
    assert cache.prune(10 * size_bytes) == []
    assert [kernel.release for kernel in cache.prune(2 * size_bytes)] == ["older"]
    assert cache.find(added["older"][0]) is None
    assert cache.find(added["old"][0]) is not None
    # The newest stays whatever the limit.
    assert [kernel.release for kernel in cache.prune(0)] == ["old"]
    assert [kernel.release for kernel in cache.entries()] == ["new"]
    # Records of what is gone go with the next pruning.
    cache.prune(0)
    assert [path.stem for path in (tmp_path / "sources").iterdir()] == [added["new"][0]]


def test_prune_leaves_what_is_in_use(tmp_path):
    mine, theirs = KernelCache(tmp_path), KernelCache(tmp_path)
    _, used = add(mine, "used")
    _, newest = add(mine, "newest")
    assert theirs.open(used, "x") is not None
    age(mine, used, 100)
    age(mine, newest, 50)
    assert mine.prune(0) == []
    theirs.close()
    assert [kernel.release for kernel in mine.prune(0)] == ["used"]
    assert mine.open(used, "x") is None


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    cache = KernelCache(tmp_path)
    dead = tmp_path / f"partial-{source_key('dead')}-x"
    dead.mkdir()
    (dead / "half").write_bytes(b"x")
    same = tmp_path / f"partial-{source_key('b')}-x"
    same.mkdir()
    with cache.adding(source_key("a")) as living:
        assert not dead.exists()
        with KernelCache(tmp_path).adding(source_key("b")):
            assert not same.exists()
            assert living.is_dir()
    assert not living.exists()


def test_no_permission_is_a_host_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HostError, match="cannot open the lock file"), KernelCache(tmp_path / "file").adding("k"):
        pass


def fill_disk(cache):
    with cache.adding("k") as scratch:
        (scratch / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")


def test_failure_while_adding_leaves_nothing(tmp_path):
    with pytest.raises(HostError, match="No space left"):
        fill_disk(KernelCache(tmp_path))
    assert list(tmp_path.glob("partial-*")) == []


def hold(path, ready, leave):
    with locks.lock(path, what="testing", timeout_s=5):
        ready.set()
        leave.wait(30)


def test_lock_between_processes(tmp_path):
    path = tmp_path / "deep" / "lock"
    spawn = multiprocessing.get_context("spawn")
    ready, leave = spawn.Event(), spawn.Event()
    holder = spawn.Process(target=hold, args=(path, ready, leave))
    holder.start()
    assert ready.wait(30)
    told = []
    assert locks.try_lock(path) is None
    assert locks.try_lock(path, shared=True) is None
    with (
        pytest.raises(TransientHostError, match=rf"another process \(pid {holder.pid}\) is testing"),
        locks.lock(path, what="testing", timeout_s=0.3, waiting=told.append),
    ):
        pass
    assert told == [f"another process (pid {holder.pid}) is testing: waiting for it"]
    # The kernel drops the lock of a killed holder.
    holder.kill()
    holder.join()
    with locks.lock(path, what="testing", timeout_s=5):
        pass


def test_shared_locks_exclude_only_exclusive_ones(tmp_path):
    first, second = locks.try_lock(tmp_path / "l", shared=True), locks.try_lock(tmp_path / "l", shared=True)
    assert first is not None
    assert second is not None
    assert locks.try_lock(tmp_path / "l") is None
    first.close()
    first.close()
    assert locks.try_lock(tmp_path / "l") is None
    second.close()
    with locks.try_lock(tmp_path / "l") as held:
        assert held.path == tmp_path / "l"


def test_write_atomically_keeps_the_old_content_on_failure(tmp_path):
    target = tmp_path / "folder" / "file"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(HostError, match="cannot write"):
        write_atomically(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
