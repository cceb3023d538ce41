"""Builds as processes: make is real, its work is small. What is left by one that is killed, or runs out of disk."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import BuildError, ConfigError, HostError, NoKernelError
from harness.git.repository import Repository
from harness.host.leases import Lease, reclaim
from harness.host.locks import try_lock
from harness.host.paths import Paths
from harness.kbuild.builder import Builder
from harness.kbuild.compiler import choose_compiler, identify
from harness.kbuild.configure import failure_of
from harness.kbuild.external import run_builder
from harness.kbuild.folder import BuildFolder, folder_lock, prune
from harness.kbuild.make import Make, run_group
from harness.kernels.bootimage import read_boot_image
from harness.kernels.library import KernelLibrary
from harness.model.source import BuildSettings

pytestmark = pytest.mark.integration

# As kbuild does it: an object is made anew when its source is newer, and what it was made with is noted behind it.
MAKEFILE = """\
OBJECTS := $(foreach n,$(shell seq 40),$(O)/file$(n).o)
all: $(OBJECTS)
	@echo "  LD      $(O)/image"
	@cat $(OBJECTS) > $(O)/image
$(O)/%.o: source.txt
	@echo "  CC      $@"
	@sed 's/^/$* /' source.txt > $@
"""
KILLED_AT_THE_START = """\
import os, signal, sys
from pathlib import Path
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.kbuild.make import run_group
root = Path(sys.argv[1])
Lease.add_process = lambda *_args, **_more: os.kill(os.getpid(), signal.SIGKILL)
with Lease(Paths(cache=root / "cache", state=root / "state")) as lease, (root / "out").open("wb") as out:
    argv = ["sh", "-c", "( touch " + str(root / "begun") + "; sleep 120 )"]
    run_group(argv, name="sh", lease=lease, stdout=out, stderr=out, env=os.environ)
"""
OWNER = """\
import sys
from pathlib import Path
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.kbuild.compiler import identify
from harness.kbuild.folder import BuildFolder
from harness.kbuild.make import Make
root = Path(sys.argv[1])
folder = BuildFolder(root / "build")
with Lease(Paths(cache=root / "cache", state=root / "state")) as lease:
    folder.begin()
    Make(folder=folder, compiler=identify("gcc"), ccache=None, lease=lease).run(["all"], output=folder.objects)
    folder.end()
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(cache=tmp_path / "cache", state=tmp_path / "state")


@pytest.fixture
def folder(tmp_path: Path) -> BuildFolder:
    made = BuildFolder(tmp_path / "build")
    made.source.mkdir(parents=True)
    (made.source / "Makefile").write_text(MAKEFILE)
    (made.source / "source.txt").write_text("first\n" * 20000)
    return made


def build(folder: BuildFolder, paths: Paths) -> list[str]:
    """Build in order; the files that were made."""
    steps: list[str] = []
    with Lease(paths) as lease:
        folder.begin()
        make = Make(folder=folder, compiler=identify("gcc"), ccache=None, lease=lease)
        status = make.run(["all"], output=folder.objects, on_step=lambda _count, file: steps.append(file))
        assert status == 0, folder.log.read_text()
        folder.end()
    return steps


def image(folder: BuildFolder) -> str:
    return (folder.objects / "image").read_text()


def processes_of(folder: BuildFolder) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(folder.path).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_only_what_changed_is_made_again(folder, paths):
    assert len(build(folder, paths)) == 41
    assert build(folder, paths) == [str(folder.objects / "image")]


def test_a_half_object_of_a_killed_build_is_made_again(folder, paths):
    """Newer than its source, it looks finished: make alone would take it."""
    build(folder, paths)
    whole = image(folder)
    folder.begin()
    cut = folder.objects / "file7.o"
    cut.write_text("file7 fir")
    kept = folder.objects / "include/config/BTRFS_FS"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert sorted(build(folder, paths)) == sorted([str(cut), str(folder.objects / "image")])
    assert image(folder) == whole
    # kconfig tells by its time that an option changed, and does not make it again.
    assert kept.exists()


def test_kills_at_any_moment_leave_nothing_half(folder, paths, tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    build(folder, paths)
    for number in range(6):
        text = f"change {number}\n" * 20000
        (folder.source / "source.txt").write_text(text)
        owner = subprocess.Popen([sys.executable, script, tmp_path], cwd=Path(__file__).parents[2])
        time.sleep(0.4 + 0.15 * number)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        deadline = time.monotonic() + 20
        while processes_of(folder):
            assert time.monotonic() < deadline, "make went on after its kab was killed"
            time.sleep(0.05)
        build(folder, paths)
        expected = "".join(f"file{count} {line}" for count in range(1, 41) for line in text.splitlines(keepends=True))
        assert image(folder) == expected
    reclaim(paths)


def test_an_interrupt_ends_make_and_all_below_it(folder, paths):
    (folder.source / "Makefile").write_text("all: first\n\t@sleep 300 & sleep 300\nfirst:\n\t@echo '  CC      x.o'\n")

    def interrupt(_count: int, _file: str) -> None:
        raise KeyboardInterrupt

    since = time.monotonic()
    folder.begin()
    with Lease(paths) as lease:
        make = Make(folder=folder, compiler=identify("gcc"), ccache=None, lease=lease)
        with pytest.raises(KeyboardInterrupt):
            make.run(["all"], output=folder.objects, on_step=interrupt)
    assert time.monotonic() - since < 15
    assert processes_of(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a small filesystem of its own")
def test_a_full_disk_is_the_hosts_fault(folder, paths, tmp_path):
    folder.objects.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder.objects], check=True)
    try:
        with Lease(paths) as lease:
            folder.begin()
            make = Make(folder=folder, compiler=identify("gcc"), ccache=None, lease=lease)
            assert make.run(["all"], output=folder.objects) != 0
        line, trouble = failure_of(folder.log.read_text(), folder.path)
        assert "No space left on device" in line
        assert isinstance(trouble, HostError)
        assert "kab clean" in trouble.remedy
    finally:
        subprocess.run(["umount", folder.objects], check=True)
    assert len(build(folder, paths)) == 41


def test_the_environment_of_a_build_is_kabs_own(folder, paths, monkeypatch):
    monkeypatch.setenv("KCFLAGS", "-O0")
    monkeypatch.setenv("MAKEFLAGS", "-n")
    monkeypatch.setenv("ARCH", "arm64")
    (folder.source / "Makefile").write_text(
        'all:\n\t@echo "$(KCFLAGS) $(ARCH) $(KBUILD_BUILD_TIMESTAMP) [$(LOCALVERSION)] $(origin LOCALVERSION)"\n'
    )
    build(folder, paths)
    assert " x86_64 Thu Jan  1 00:00:00 UTC 1970 [] command line" in folder.log.read_text().splitlines()


def test_a_build_whose_kab_dies_before_its_lease_knows_of_it_never_begins(tmp_path):
    """Its leader would die with kab, but nobody would end what the leader has started."""
    script = tmp_path / "owner.py"
    script.write_text(KILLED_AT_THE_START)
    owner = subprocess.run([sys.executable, str(script), str(tmp_path)], check=False)
    assert owner.returncode == -signal.SIGKILL
    time.sleep(1)
    assert not (tmp_path / "begun").exists()


def test_a_build_gives_way_to_guests(paths):
    """Both to those of its session, and, where the host schedules by sessions, to those of others."""
    found: list[tuple[int, str]] = []

    def follow(made):
        autogroup, until = Path(f"/proc/{made.pid}/autogroup"), time.monotonic() + 60
        while os.getpriority(os.PRIO_PROCESS, made.pid) < 10 and time.monotonic() < until:
            time.sleep(0.05)
        group = autogroup.read_text() if autogroup.exists() else "nice 10"
        found.append((os.getpriority(os.PRIO_PROCESS, made.pid), group))

    with Lease(paths) as lease, (paths.state / "out").open("wb") as out:
        run_group(["sleep", "60"], name="sleep", lease=lease, stdout=out, stderr=out, env=os.environ, follow=follow)
    ((priority, group),) = found
    assert priority >= 10
    assert group.strip().endswith("nice 10")


def test_old_build_folders_go_unless_they_are_in_use(tmp_path):
    builds = tmp_path / "builds"
    for age, name in enumerate(("new", "used", "old")):
        (builds / name / "objects").mkdir(parents=True)
        (builds / name / "objects/vmlinux").write_bytes(b"x" * 1_000_000)
        with try_lock(folder_lock(builds, name)):
            pass
        os.utime(folder_lock(builds, name), (1000 - age, 1000 - age))
    held = try_lock(folder_lock(builds, "used"))
    assert held is not None
    with held:
        os.utime(folder_lock(builds, "used"), (1, 1))
        assert prune(builds, 2_500_000) == ["old"]
        assert prune(builds, 0) == ["new"]
    assert prune(builds, 0) == ["used"]
    assert prune(tmp_path / "nowhere", 0) == []


def git(tree: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", "-C", tree, *identity, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def history(tmp_path: Path) -> Path:
    tree = tmp_path / "linux"
    tree.mkdir()
    git(tree, "init", "-q")
    (tree / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\n")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    (tree / "KERNEL").write_text("second\n")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "second")
    return tree


def test_a_tree_that_is_no_kernel_is_refused_before_it_is_built(history, paths):
    repository = Repository.open(history, paths.git)
    make = Builder(paths)
    assert make.request(repository, repository.commit(repository.resolve("HEAD")), BuildSettings()).version == (6, 1, 0)
    for text in ("all:\n", "VERSION = 6\nPATCHLEVEL = x\n", None):
        (history / "Makefile").unlink() if text is None else (history / "Makefile").write_text(text)
        git(history, "commit", "-qam", "no kernel")
        with pytest.raises(NoKernelError, match=r"holds no Linux at .* its Makefile tells no version") as caught:
            make.request(repository, repository.commit(repository.resolve("HEAD")), BuildSettings())
        assert caught.value.exit_code == 129
    # One commit of a kernel that breaks the Makefile is still a kernel, which does not build.
    (history / "arch/x86").mkdir(parents=True)
    (history / "arch/x86/Kconfig").touch()
    git(history, "add", ".")
    git(history, "commit", "-qm", "broken")
    assert make.request(repository, repository.commit(repository.resolve("HEAD")), BuildSettings()).version is None


def builder(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "build.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_builder_of_the_users(history, paths, tmp_path):
    repository = Repository.open(history, paths.git)
    commit = repository.commit(repository.resolve("HEAD"))

    def run(text: str) -> str:
        return run_builder(builder(tmp_path, text), repository, commit, paths, note=lambda _sentence: None)

    assert run('test "$PWD" = "$1" && test -d "$2" && echo noise && echo "file:$(cat KERNEL)" && echo') == "file:second"
    with pytest.raises(BuildError, match=r"does not build .* \(`second`\): it broke") as caught:
        run("echo one; echo 'it broke' >&2; exit 3")
    assert caught.value.log == "one\nit broke\n"
    with pytest.raises(BuildError, match="it ends with status 1"):
        run("exit 1")
    with pytest.raises(ConfigError, match="prints no kernel spec"):
        run("exit 0")
    with pytest.raises(ConfigError, match="is not an executable file"):
        run_builder(tmp_path / "none", repository, commit, paths, note=lambda _sentence: None)


def boots_here(path):
    try:
        return bool(read_boot_image(path).release)
    except ConfigError:
        # The cache may hold kernels of other architectures, too.
        return False


def test_a_builders_kernel_is_told_as_the_commits(history, paths, tmp_path):
    host = Path("/boot")
    images = sorted(path for path in host.glob("vmlinuz-*") if path.is_file())
    cached = sorted(Path.home().glob(".cache/kab/kernels/*/vmlinuz"))
    image_path = next((path for path in (*images, *cached) if boots_here(path)), None)
    if image_path is None:
        pytest.skip("there is no kernel image on this host")
    count = tmp_path / "count"
    script = builder(tmp_path, f'echo x >> {count}\necho "file:{image_path}"')
    with KernelLibrary(paths) as library:
        first = library.resolve(f"git:{history}@HEAD,builder={script}")
        again = library.resolve(f"git:{history}@HEAD~0,builder={script}")
        before = library.resolve(f"git:{history}@HEAD~1,builder={script}")
        step, unknown = library.changes(before, first), library.changes(library.resolve(f"file:{image_path}"), first)
    assert (first.source, first.provenance["title"]) == ("git", "second")
    assert first.name.endswith(f"-g{git(history, 'rev-parse', 'HEAD')[:12]}")
    assert again.digest == first.digest
    assert count.read_text() == "x\n" * 2
    assert [(change.subject, change.commit) for change in step.changes] == [
        ("second", git(history, "rev-parse", "HEAD").strip())
    ]
    assert step.complete
    assert not unknown.complete


def test_compilers_that_are_not_there(monkeypatch, tmp_path):
    with pytest.raises(HostError, match="gcc-3 is not installed") as caught:
        choose_compiler("gcc-3", None)
    assert caught.value.remedy.endswith("apt-get install gcc-3")
    with pytest.raises(ConfigError, match="no compiler that kab can use"):
        choose_compiler("tcc", None)
    assert choose_compiler(None, (6, 1, 0)).name.startswith("gcc")
    # A host whose one gcc is too new for the tree.
    new = tmp_path / "gcc"
    new.write_text("#!/bin/sh\necho 'gcc (Debian 15.1.0-1) 15.1.0'\n")
    new.chmod(0o755)
    (tmp_path / "ld").symlink_to("/usr/bin/ld")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"gcc 15 does not build Linux 6\.1") as caught:
        choose_compiler(None, (6, 1, 0))
    assert "apt-get install gcc-" in caught.value.remedy
    assert choose_compiler(None, (6, 15, 0)).major == 15
    # One that can be lived with, beside it.
    old = tmp_path / "gcc-13"
    old.write_text("#!/bin/sh\necho 'gcc-13 (Debian 13.2.0-1) 13.2.0'\n")
    old.chmod(0o755)
    assert choose_compiler(None, (6, 1, 0)).name == "gcc-13"
    new.unlink()
    assert choose_compiler(None, None).name == "gcc-13"
