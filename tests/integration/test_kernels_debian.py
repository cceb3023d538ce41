"""Debian's kernels from the real mirror, also through a server on this host that alters what passes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kernelspecs import available

from harness.debian.aptsources import find_mirrors
from harness.errors import ConfigError, HostError, TransientHostError
from harness.host.paths import Paths
from harness.kernels.bootimage import read_boot_image
from harness.kernels.bzimage import has_pvh_note
from harness.kernels.debian.catalogue import PackageLayout
from harness.kernels.debian.lists import DebianLists, debian_settings
from harness.kernels.library import KernelLibrary
from harness.kernels.modules import read_module
from harness.parse.modules import module_name

pytestmark = pytest.mark.integration

# The smallest suite with a kernel, and the smallest kernel.
SUITE = "bullseye-security"
SPEC = "debian:5.10"
DEB = ".deb"


def paths_in(folder):
    return Paths(cache=folder / "cache", state=folder / "state")


def leftovers(paths):
    """All in the kernel cache but locks and source records."""
    if not paths.kernels.is_dir():
        return []
    return [path.name for path in paths.kernels.iterdir() if path.name not in ("locks", "sources")]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A cache that reads all suites of the host's own mirror."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAB_DEBIAN_MIRROR", "KAB_DEBIAN_SECURITY_MIRROR", "KAB_DEBIAN_SUITES"):
            patch.delenv(name, raising=False)
        paths = paths_in(tmp_path_factory.mktemp("real"))
        with KernelLibrary(paths) as library:
            available(library)
        yield paths


def test_listing(real):
    started = time.monotonic()
    with KernelLibrary(real) as library:
        kernels = available(library, flavour="cloud-amd64")
        in_backports = available(library, suites=["stable-backports"])
    assert time.monotonic() - started < 1.5
    assert len(kernels) > 60
    assert {".".join(kernel.version.split(".")[:2]) for kernel in kernels} >= {"5.10", "6.1", "6.12", "6.18"}
    assert all(kernel.packages and kernel.size_bytes > 10_000_000 for kernel in kernels)
    assert in_backports
    assert all("backports" in " ".join(kernel.suites) for kernel in in_backports)


@pytest.mark.parametrize(("spec", "layout"), [("debian:6.12", "single"), ("debian:7.2", "split")])
def test_resolve_newest_of_a_series(real, monkeypatch, spec, layout):
    told = []
    with KernelLibrary(real, progress=lambda name, done, total: told.append((name, done, total))) as library:
        assert library.show(spec).layout == PackageLayout(layout)
        kernel = library.resolve(spec)
        wanted = ["btrfs", "virtio_blk", "virtio_net", "null_blk", "erofs", "overlay", "nvme", "ext4"]
        modules = library.modules_for(kernel, wanted)
    name, done, total = told[-1]
    assert (name, done) == (kernel.release, total)
    assert total > 10_000_000
    assert read_boot_image(kernel.vmlinuz).release == kernel.release
    assert read_boot_image(kernel.vmlinuz).version == kernel.version
    assert kernel.vmlinux is not None
    assert has_pvh_note(kernel.vmlinux)
    assert "CONFIG_BTRFS_FS=m" in kernel.config.read_text()
    assert kernel.changelog.read_bytes()[:2] == b"\x1f\x8b"
    assert "btrfs" in [module_name(path.name) for path in modules]
    assert all(read_module(path)[:4] == b"\x7fELF" for path in modules)
    assert kernel.provenance["packages"].count("=") == (1 if layout == "single" else 3)

    # Warm: no process at all, in milliseconds.
    monkeypatch.setenv("PATH", "/nonexistent")
    with KernelLibrary(real) as library:
        started = time.monotonic()
        again = library.resolve(spec)
        assert time.monotonic() - started < 0.2
        assert (again.digest, again.vmlinuz) == (kernel.digest, kernel.vmlinuz)
        assert kernel.release in [known.release for known in available(library) if known.cached]


def test_no_such_kernel(real):
    started = time.monotonic()
    with KernelLibrary(real) as library, pytest.raises(ConfigError) as caught:
        library.resolve("debian:6.13")
    assert "Series: 5.10" in caught.value.remedy
    # The lists are minutes old: they are believed.
    assert time.monotonic() - started < 1


def test_missing_kernel_is_looked_for_anew_when_lists_are_old(mirror, tmp_path):
    paths = paths_in(tmp_path)
    with KernelLibrary(paths) as library:
        available(library)
    index = paths.apt / "kernels.json"
    content = json.loads(index.read_bytes())
    content["written"] -= 3600
    content["kernels"] = []
    index.write_text(json.dumps(content))
    with KernelLibrary(paths) as library:
        assert library.show(SPEC).version.startswith("5.10.")
    assert sum("InRelease" in path for path in mirror.requests) == 2


class Mirror(ThreadingHTTPServer):
    """Serves what the host's mirror serves, altered as a test asks. Keys are parts of paths."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        mirrors = find_mirrors(environment={})
        self.upstream = {"/debian-security/": f"{mirrors.security}/", "/debian/": f"{mirrors.archive}/"}
        self.known = {}
        self.reset()

    def reset(self):
        self.alter = {}
        self.cut = set()
        self.absent = set()
        self.pause_s = {}
        self.requests = []

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.server_port}/debian"

    def content(self, path):
        if path not in self.known:
            prefix = next(prefix for prefix in self.upstream if path.startswith(prefix))
            with urllib.request.urlopen(self.upstream[prefix] + path.removeprefix(prefix), timeout=60) as answer:
                self.known[path] = answer.read()
        return self.known[path]

    def of(self, table, path):
        return next((value for part, value in table.items() if part in path), None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        mirror = self.server
        mirror.requests.append(self.path)
        try:
            if any(part in self.path for part in mirror.absent):
                raise FileNotFoundError
            content = mirror.content(self.path)
        except (FileNotFoundError, urllib.error.HTTPError):
            self.send_error(404)
            return
        alter = mirror.of(mirror.alter, self.path)
        content = content if alter is None else alter(content)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if any(part in self.path for part in mirror.cut):
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        pause_s = mirror.of(mirror.pause_s, self.path) or 0
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(content), 1 << 16):
                self.wfile.write(content[start : start + (1 << 16)])
                time.sleep(pause_s)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    mirror = Mirror()
    thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield mirror
    mirror.shutdown()
    thread.join()
    mirror.server_close()


@pytest.fixture
def mirror(server, monkeypatch):
    server.reset()
    monkeypatch.setenv("KAB_DEBIAN_MIRROR", server.uri)
    monkeypatch.setenv("KAB_DEBIAN_SUITES", SUITE)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("KAB_DEBIAN_SECURITY_MIRROR", raising=False)
    return server


def flipped(content):
    """One bit in the middle is another one."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def refused(paths, spec=SPEC):
    with KernelLibrary(paths) as library, pytest.raises(HostError) as caught:
        library.resolve(spec)
    assert leftovers(paths) == []
    assert not isinstance(caught.value, TransientHostError)
    print(caught.value)
    return str(caught.value)


def test_wrong_hash_is_refused_and_nothing_stays(mirror, tmp_path):
    paths = paths_in(tmp_path)
    mirror.alter = {DEB: flipped}
    assert "wrong hash, or cut short" in refused(paths)
    assert sum("InRelease" in path for path in mirror.requests) == 1
    mirror.reset()
    with KernelLibrary(paths) as library:
        assert library.resolve(SPEC).release.startswith("5.10.0-")


def test_shorter_package_is_refused(mirror, tmp_path):
    mirror.alter = {DEB: lambda content: content[:-1000]}
    assert "wrong hash, or cut short" in refused(paths_in(tmp_path))


def test_cut_connection_is_a_host_error_and_nothing_stays(mirror, tmp_path):
    paths = paths_in(tmp_path)
    mirror.cut = {DEB}
    with KernelLibrary(paths) as library, pytest.raises(HostError, match=r"cannot fetch linux-image-5\.10"):
        library.resolve(SPEC)
    assert leftovers(paths) == []


def test_altered_release_file_is_refused(mirror, tmp_path):
    mirror.alter = {"InRelease": lambda content: content.replace(b"Origin: Debian", b"Origin: Debiam")}
    assert "signature" in refused(paths_in(tmp_path))


def test_altered_package_list_is_refused(mirror, tmp_path):
    mirror.alter = {"binary-amd64": flipped}
    assert "wrong hash, or cut short" in refused(paths_in(tmp_path))


def test_unsigned_suite_is_refused(mirror, tmp_path):
    plain = b"\n".join(mirror.content(f"/debian-security/dists/{SUITE}/Release").splitlines()) + b"\n"
    mirror.absent = {"InRelease", "Release.gpg"}
    mirror.alter = {"/Release": lambda _: plain}
    message = refused(paths_in(tmp_path))
    assert "signature" in message
    assert "debian-archive-keyring" in message


def test_suite_signed_by_another_key_is_refused(mirror, tmp_path, monkeypatch):
    # In /tmp itself: gpg-agent's socket needs a short path.
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "mallory@example.org", "ed25519", "sign"], check=True, capture_output=True)
    release = mirror.content(f"/debian-security/dists/{SUITE}/Release")
    signed = subprocess.run([*gpg, "--clearsign"], input=release, check=True, capture_output=True).stdout
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=True)
    mirror.alter = {"InRelease": lambda _: signed}
    assert "not by a key in" in refused(paths_in(tmp_path))


def test_lax_host_configuration_does_not_weaken_the_check(mirror, tmp_path, monkeypatch):
    lax = tmp_path / "lax.conf"
    lax.write_text('Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\n')
    monkeypatch.setenv("APT_CONFIG", str(lax))
    test_unsigned_suite_is_refused(mirror, tmp_path)


def test_package_that_the_mirror_no_longer_has(mirror, tmp_path):
    paths = paths_in(tmp_path)
    mirror.absent = {DEB}
    with KernelLibrary(paths) as library, pytest.raises(HostError, match="the mirror no longer has it"):
        library.resolve(SPEC)
    assert leftovers(paths) == []
    # The lists were read again before giving up.
    assert sum("InRelease" in path for path in mirror.requests) == 2


def test_mirror_without_any_suite(mirror, tmp_path):
    mirror.absent = {"/dists/"}
    assert "holds none of the suites" in refused(paths_in(tmp_path))


def test_mirror_out_of_reach(mirror, tmp_path, monkeypatch):
    paths = paths_in(tmp_path)
    notes = []
    with KernelLibrary(paths) as library:
        count = len(available(library))
    index = paths.apt / "kernels.json"
    content = json.loads(index.read_bytes())
    content["written"] -= 48 * 3600
    content["key"] = content["key"].replace(mirror.uri, "http://127.0.0.1:9/debian")
    index.write_text(json.dumps(content))
    monkeypatch.setenv("KAB_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    # Old lists are better than none, and the user is told.
    with KernelLibrary(paths, note=notes.append) as library:
        assert len(available(library)) == count > 0
    assert any("48 h ago" in note for note in notes)
    with KernelLibrary(paths_in(tmp_path / "new")) as library, pytest.raises(TransientHostError, match="reached"):
        library.resolve(SPEC)


FETCH = """
import sys
from pathlib import Path
from harness.host.paths import Paths
from harness.kernels.library import KernelLibrary
folder = Path(sys.argv[1])
notes = []
with KernelLibrary(Paths(cache=folder / "cache", state=folder / "state"), note=notes.append) as library:
    kernel = library.resolve(sys.argv[2])
print(kernel.digest, *notes)
"""


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(folder), SPEC], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_two_processes_fetch_one_kernel_once(mirror, tmp_path):
    mirror.pause_s = {DEB: 0.005}
    both = [start(tmp_path), start(tmp_path)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    digests = {output.split()[0] for output in outputs}
    assert len(digests) == 1
    assert leftovers(paths_in(tmp_path)) == list(digests)
    assert sum(DEB in path for path in mirror.requests) == 1
    assert sum("InRelease" in path for path in mirror.requests) == 1


def users_of(folder):
    """Processes whose command line names `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def test_killed_fetch_leaves_nothing_that_hurts(mirror, tmp_path):
    paths = paths_in(tmp_path)
    mirror.pause_s = {DEB: 0.1}
    process = start(tmp_path)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in paths.kernels.glob("partial-*/packages/*.deb")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(0.5)
    assert users_of(tmp_path) == []
    (left,) = leftovers(paths)
    assert left.startswith("partial-")

    mirror.reset()
    with KernelLibrary(paths) as library:
        kernel = library.resolve(SPEC)
    assert leftovers(paths) == [kernel.digest]


def test_named_in_full_and_cached_needs_no_mirror(mirror, tmp_path, monkeypatch):
    paths = paths_in(tmp_path)
    with KernelLibrary(paths) as library:
        kernel = library.resolve(SPEC)
    (paths.apt / "kernels.json").unlink()
    monkeypatch.setenv("KAB_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    with KernelLibrary(paths) as library:
        assert library.resolve(f"debian:{kernel.release}").digest == kernel.digest


def test_damaged_entry_is_made_anew(mirror, tmp_path):
    paths = paths_in(tmp_path)
    with KernelLibrary(paths) as library:
        kernel = library.resolve(SPEC)
    kernel.vmlinuz.write_bytes(b"")
    with KernelLibrary(paths) as library:
        again = library.resolve(SPEC)
    assert again.digest == kernel.digest
    assert read_boot_image(again.vmlinuz).release == kernel.release


def test_keyring_is_missing(mirror, tmp_path):
    settings = replace(debian_settings(), keyring=tmp_path / "none.gpg")
    with pytest.raises(HostError, match=r"none\.gpg") as caught:
        DebianLists(paths_in(tmp_path), settings=lambda: settings).catalogue()
    assert "apt-get install debian-archive-keyring" in caught.value.remedy
