"""One flipped bit in the cache: found before a boot, whatever file it is in."""

import gzip
import json
import struct

import pytest

from harness.cli.errors import run_command
from harness.errors import HostError
from harness.host.integrity import damaged_files, file_digests, sealed, unsealed
from harness.host.paths import Paths
from harness.images.initramfs import ensure_initramfs
from harness.images.recipe import load_recipe
from harness.images.store import ImageStore
from harness.kernels.cache import KernelCache, SourceRecord, content_digest, listed, source_key
from harness.kernels.verify import verify

pytestmark = pytest.mark.unit

RELEASE = "6.1.0-test"
FACTS = {
    "release": RELEASE,
    "vmlinuz": "vmlinuz",
    "vmlinux": "vmlinux",
    "config": "config",
    "modules": f"lib/modules/{RELEASE}",
}
FILES = (
    "vmlinuz",
    "vmlinux",
    "config",
    f"lib/modules/{RELEASE}/modules.dep",
    f"lib/modules/{RELEASE}/kernel/fs/btrfs.ko",
)


def flip(path):
    """One wrong bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def vmlinux():
    """An ELF with the note that QEMU enters it by."""
    note = struct.pack("<III", 4, 4, 18) + b"Xen\0" + bytes(4)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 0x3E, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(note), len(note), 4) + note + bytes(5000)


def vmlinuz():
    # A time stamp would make another kernel of it in the next second.
    payload = gzip.compress(vmlinux(), mtime=0)
    content = bytearray(512 * 3)
    content[0x1F1] = 2
    content[0x202:0x208] = b"HdrS\x0f\x02"
    content[0x248:0x250] = struct.pack("<II", 0, len(payload))
    return bytes(content) + payload


@pytest.fixture
def cache(tmp_path):
    made = KernelCache(tmp_path / "kernels")
    yield made
    made.close()


def add(cache):
    """A kernel in the cache, and its record."""
    key = source_key("one")
    with cache.adding(key) as scratch:
        entry = scratch / "entry"
        for name in FILES:
            (entry / name).parent.mkdir(parents=True, exist_ok=True)
            (entry / name).write_bytes(f"{name} ".encode() * 100)
        (entry / "vmlinuz").write_bytes(vmlinuz())
        (entry / "vmlinux").write_bytes(vmlinux())
        digest = content_digest(entry / "vmlinuz", entry / FACTS["modules"])
        record = SourceRecord(digest=digest, version="6.1-1", source="file")
        cache.add(key, record, entry, FACTS)
    return key, record


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_and_the_kernel_made_anew(cache, name):
    key, record = add(cache)
    told = []
    later = KernelCache(cache.directory, note=told.append)
    assert later.open(record, "x", check=True) is not None
    later.close()
    flip(cache.directory / record.digest / name)
    # A size that fits does not tell.
    fresh = KernelCache(cache.directory, note=told.append)
    assert fresh.open(record, "x", check=True) is None
    assert told == [f"the cached kernel {RELEASE} is damaged ({name}): it is made anew"]
    assert fresh.find(key) is None
    add(fresh)
    assert fresh.open(record, "x", check=True) is not None
    fresh.close()


def test_content_is_read_once_for_each_command(cache, monkeypatch):
    _, record = add(cache)
    later = KernelCache(cache.directory)
    read = []
    monkeypatch.setattr(later, "damage", lambda digest: read.append(digest) or ())
    for _ in range(3):
        assert later.open(record, "x", check=True) is not None
    assert later.open(record, "x") is not None
    assert read == [record.digest]
    later.close()


def test_a_damaged_kernel_that_another_kab_uses_is_the_hosts_fault(cache):
    _, record = add(cache)
    other = KernelCache(cache.directory)
    assert other.open(record, "x") is not None
    flip(cache.directory / record.digest / "vmlinux")
    with pytest.raises(HostError, match=r"6\.1\.0-test is damaged \(vmlinux\), and another kab uses it"):
        KernelCache(cache.directory).open(record, "x", check=True)
    assert [(one.damaged, one.removed) for one in verify(cache, cache.digests())] == [(("vmlinux",), False)]
    other.close()
    assert [(one.damaged, one.removed) for one in verify(cache, cache.digests())] == [(("vmlinux",), True)]
    assert list(verify(cache, cache.digests())) == []


@pytest.mark.parametrize("name", ["vmlinuz", "vmlinux", f"lib/modules/{RELEASE}/kernel/fs/btrfs.ko"])
def test_kernels_of_before_hashes_were_kept(cache, name):
    """The digest is of image and modules, the vmlinux is inside the image; what is sound gets its hashes."""
    _, record = add(cache)
    facts = cache.directory / record.digest / "kernel.json"
    content = unsealed(facts.read_bytes())
    hashes = content.pop("sha256")
    facts.write_text(json.dumps(content))
    assert cache.damage(record.digest) == ()
    assert unsealed(facts.read_bytes())["sha256"] == hashes
    facts.write_text(json.dumps(content))
    flip(cache.directory / record.digest / name)
    assert len(cache.damage(record.digest)) == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"null", b'{"sha256": 5}', b'{"facts": [], "files": 3}', b"[" * 99999]
)
def test_unreadable_facts_are_damage(cache, content):
    key, record = add(cache)
    (cache.directory / record.digest / "kernel.json").write_bytes(content)
    (cache.directory / "sources" / f"{key}.json").write_bytes(content)
    assert cache.find(key) is None
    assert cache.open(record, "x", check=True) is None
    assert cache.entries() == []
    assert [(one.release, one.damaged) for one in verify(cache, cache.digests())] == [("", ("kernel.json",))]


def test_every_bit_of_the_facts_counts(cache):
    _, record = add(cache)
    facts = cache.directory / record.digest / "kernel.json"
    sound = facts.read_bytes()
    for place in range(0, len(sound), 19):
        changed = bytearray(sound)
        changed[place] ^= 1
        facts.write_bytes(changed)
        kernel = cache.open(record, "x", check=True)
        # A kernel that opens is the one that was put there.
        assert kernel is None or (kernel.release, kernel.vmlinuz.name) == (RELEASE, "vmlinuz")
        cache.close()
        if kernel is None:
            add(cache)
            facts.write_bytes(sound)


def test_names_of_files_in_messages():
    assert listed(("a", "b")) == "a, b"
    assert listed(("a", "\x1b[2J", "c", "d", "e")) == "a, \\x1b[2J, c and 2 more"


def test_seals():
    content = {"a": 1, "b": ["x", None, 2.5, "\u00e4"]}
    assert unsealed(sealed(content)) == content
    assert unsealed(b'{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match="seal differs"):
        unsealed(sealed(content).replace(b"2.5", b"2.6"))


def test_gone_and_unreadable_files_are_damaged(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    digests = file_digests(tmp_path, ["a"])
    assert damaged_files(tmp_path, digests) == ()
    assert damaged_files(tmp_path, {**digests, "b": "0"}) == ("b",)
    (tmp_path / "a").unlink()
    (tmp_path / "a").mkdir()
    assert damaged_files(tmp_path, digests) == ("a",)


@pytest.mark.parametrize("name", ["root.ext4", "busybox"])
def test_a_flipped_bit_of_the_guest_image(tmp_path, monkeypatch, name):
    built = []

    def build_root(_recipe, out, _mirrors, _architecture):
        built.append(out)
        (out / "root.ext4").write_bytes(b"root" * 1000)
        (out / "busybox").write_bytes(b"busybox" * 1000)
        (out / "packages.txt").write_text("a=1\n")

    monkeypatch.setattr("harness.images.store.build_root", build_root)
    monkeypatch.setattr("harness.images.store.find_mirrors", lambda **_: None)
    store, told = ImageStore(Paths(cache=tmp_path, state=tmp_path / "state")), []
    image = store.ensure(told.append)
    assert store.damage(image) == ()
    store.ensure(told.append)
    assert len(built) == 1
    # One that was built before hashes were kept is taken as it is.
    facts = image.path.parent / "image.json"
    content = unsealed(facts.read_bytes())
    facts.write_text(json.dumps({key: value for key, value in content.items() if key != "sha256"}))
    assert store.damage(image) == ()
    flip(image.path.parent / name)
    assert store.damage(image) == (name,)
    again = store.ensure(told.append)
    assert len(built) == 2
    assert f"the cached guest image is damaged ({name})" in told
    assert store.damage(again) == ()


def test_a_flipped_bit_of_an_initramfs(tmp_path):
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"\x7fELF\x02\x01" + bytes(58))
    recipe = load_recipe()

    def ensure():
        return ensure_initramfs(tmp_path, [], lambda path: path.read_bytes(), recipe=recipe, busybox=busybox)

    archive = ensure()
    sound = archive.read_bytes()
    flip(archive)
    assert archive.read_bytes() != sound
    assert ensure() == archive
    assert archive.read_bytes() == sound


def test_the_verb_says_what_is_damaged(tmp_path, monkeypatch, capsys):
    for variable, folder in (("KAB_CACHE_DIR", "cache"), ("KAB_STATE_DIR", "state"), ("XDG_CONFIG_HOME", "config")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    assert run_command(["kernels", "verify"]) == 0
    assert "empty" in capsys.readouterr().err
    cache = KernelCache(tmp_path / "cache/kernels")
    _, record = add(cache)
    assert run_command(["kernels", "verify", "--all"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [RELEASE, record.digest[:16], "fine"]
    flip(cache.directory / record.digest / "vmlinuz")
    assert run_command(["kernels", "verify"]) == 131
    out, err = capsys.readouterr()
    assert "damaged: vmlinuz; removed" in out
    assert "1 of 1 damaged" in err
    assert run_command(["kernels", "verify", "file:/nonexistent"]) == 129
    assert run_command(["kernels", "verify", "--all", "host"]) == 129
