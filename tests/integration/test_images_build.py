"""Guest roots built for real, from the mirror of the host's own APT configuration, with the smallest package list."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from harness.debian.aptsources import Mirrors
from harness.errors import HostError
from harness.host.architecture import host_architecture
from harness.host.paths import Paths
from harness.images.build import build_root
from harness.images.initramfs import ensure_initramfs
from harness.images.recipe import Recipe, load_recipe, read_recipe
from harness.images.store import ImageStore, busybox_of
from harness.model.arch import ARCHITECTURES
from harness.model.guest import Image

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    directory = shutil.copytree(load_recipe().directory, tmp_path_factory.mktemp("recipe") / "tiny")
    (directory / "packages.txt").write_text("busybox-static\n")
    return read_recipe(directory)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    base = tmp_path_factory.mktemp("kab")
    return Paths(cache=base / "cache", state=base / "state")


def ensure_and_tell(paths: Paths, recipe: Recipe, told: "multiprocessing.Queue[tuple[str, list[str]]]") -> None:
    messages: list[str] = []
    image = ImageStore(paths, recipe=recipe).ensure(messages.append)
    told.put((str(image.path), messages))


@pytest.fixture(scope="module")
def image(paths, recipe) -> Image:
    """Built by the second of three processes: the first is killed in the middle, the third waits for the second."""
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[tuple[str, list[str]]] = context.Queue()
    first = context.Process(target=ensure_and_tell, args=(paths, recipe, told))
    first.start()
    deadline = time.monotonic() + 60
    while not list(paths.images.glob("building-*")):
        assert time.monotonic() < deadline, "the build does not start"
        time.sleep(0.05)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    assert ImageStore(paths, recipe=recipe).all() == []

    others = [context.Process(target=ensure_and_tell, args=(paths, recipe, told)) for _ in range(2)]
    for process in others:
        process.start()
    answers = [told.get(timeout=300) for _ in others]
    for process in others:
        process.join()
    assert answers[0][0] == answers[1][0]
    said = [message for _, messages in answers for message in messages]
    assert sum("building the guest image (Debian" in message for message in said) == 1, said
    (found,) = ImageStore(paths, recipe=recipe).all()
    return found


def debugfs(image: Image, request: str) -> str:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(
        ["debugfs", "-R", request, image.path], capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_nothing_is_left_beside_the_image(image, paths):
    assert {path.name for path in paths.images.iterdir()} == {"lock", image.recipe_digest}
    assert {path.name for path in image.path.parent.iterdir()} == {"root.ext4", "busybox", "image.json"}


def test_image_says_what_is_inside(image, recipe):
    assert image.name == f"tiny-{recipe.suite}-{image.recipe_digest[:12]}"
    assert image.size_bytes == image.path.stat().st_size
    names = [package.partition("=")[0] for package in image.packages]
    assert {"busybox-static", "libc6", "dpkg"} <= set(names)
    assert list(image.packages) == sorted(image.packages)


def test_files_belong_to_root_whoever_built_them(image):
    for path in ("/usr/sbin/kab-init", "/etc/ssh/sshd_config", "/usr/bin/busybox", "/tmp"):
        text = debugfs(image, f"stat {path}")
        assert "User:     0   Group:     0" in text, path
    assert "Mode:  0755" in debugfs(image, "stat /usr/sbin/kab-init")
    assert "Mode:  01777" in debugfs(image, "stat /tmp")


def test_the_filesystem_is_sound_and_has_no_journal(image):
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run(["e2fsck", "-fn", image.path], check=True, capture_output=True, env=environment)
    assert "has_journal" not in debugfs(image, "features")


def test_what_must_be_writable_leads_to_memory_and_the_rest_is_stripped(image):
    assert 'Fast link dest: "../tmp"' in debugfs(image, "stat /var/tmp")
    assert 'Fast link dest: "../run/log"' in debugfs(image, "stat /var/log")
    assert debugfs(image, "cat /etc/hosts") == "127.0.0.1 localhost kab\n"
    for folder in ("/boot", "/usr/share/man", "/proc", "/sys"):
        entries = [line for line in debugfs(image, f"ls -p {folder}").splitlines() if line]
        assert [entry.split("/")[5] for entry in entries] == [".", ".."], folder


def test_a_second_call_builds_nothing(image, paths, recipe):
    messages: list[str] = []
    assert ImageStore(paths, recipe=recipe).ensure(messages.append) == image
    assert messages == []


def test_its_busybox_makes_an_initramfs(image, tmp_path, recipe):
    archive = ensure_initramfs(tmp_path, [], Path.read_bytes, recipe=recipe, busybox=busybox_of(image))
    listing = subprocess.run(
        [busybox_of(image), "cpio", "-t"], input=archive.read_bytes(), capture_output=True, check=True
    )
    assert {"init", "bin/busybox", "dev/console", "kab-modules.sh"} <= set(listing.stdout.decode().split())


def test_a_damaged_image_is_no_image(image, paths, recipe, tmp_path):
    copy = Paths(cache=tmp_path / "cache", state=tmp_path / "state")
    shutil.copytree(paths.images, copy.images)
    root = copy.images / image.recipe_digest / "root.ext4"
    root.chmod(0o644)
    os.truncate(root, image.size_bytes - 1)
    assert ImageStore(copy, recipe=recipe).all() == []


def test_an_unreachable_mirror_is_said_and_leaves_nothing(recipe, tmp_path):
    nowhere = f"file://{tmp_path}/no-such-mirror"
    with pytest.raises(HostError, match="no-such-mirror") as caught:
        build_root(recipe, tmp_path, Mirrors(archive=nowhere, security=nowhere), host_architecture())
    assert "kab doctor" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_root_of_another_architecture_is_extracted_and_completed(paths, recipe):
    other = next(known for known in ARCHITECTURES if known != host_architecture())
    store = ImageStore(paths, recipe=recipe, architecture=other)
    found = store.ensure()
    assert found.name == f"tiny-{recipe.suite}-{other}-{found.recipe_digest[:12]}"
    assert (found.architecture, store.is_current(found)) == (other, True)
    # ELF64: e_machine at 18.
    assert int.from_bytes(busybox_of(found).read_bytes()[18:20], "little") == other.elf_machine
    assert any(package.startswith("busybox-static=") for package in found.packages)
    # What the scripts of packages would have made.
    read = partial(read_from_root, found)
    assert "root:x:0:0:root:/root:/bin/bash" in read("/etc/passwd")
    assert "sshd:x:100:" in read("/etc/passwd")
    assert "\nroot:*:" in f"\n{read('/etc/shadow')}"
    assert "passwd:         files" in read("/etc/nsswitch.conf")
    links = {name: read(f"/usr/bin/{name}", "stat") for name in ("awk", "which")}
    assert 'Fast link dest: "mawk"' in links["awk"]
    assert 'Fast link dest: "which.debianutils"' in links["which"]
    assert "Type: directory" in read("/mnt/test", "stat")
    # The lists of packages went with the rest.
    assert "File not found" in read("/var/cache/apt", "stat")
    # Both are images of the recipe as it is now, and neither is an old one.
    own = ImageStore(paths, recipe=recipe)
    assert found in own.all()
    assert own.outdated() == []


def read_from_root(image: Image, path: str, command: str = "cat") -> str:
    done = subprocess.run(
        ["debugfs", "-R", f"{command} {path}", image.path], capture_output=True, check=True, text=True
    )
    return done.stdout + done.stderr
