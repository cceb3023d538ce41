"""What local files are known by in the cache: recorded there, so that it stays as it is."""

import os

import pytest

from harness.errors import ConfigError
from harness.host.paths import Paths
from harness.kernels.cache import KernelCache, source_key
from harness.kernels.library import KernelLibrary

pytestmark = pytest.mark.unit


def state(path):
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


@pytest.fixture
def key(tmp_path):
    with KernelLibrary(Paths(cache=tmp_path / "cache", state=tmp_path / "state")) as library:

        def read(text):
            source, spec = library.parse(text)
            return source.key(spec)

        yield read


def test_keys_of_caches_that_are_there(key, tmp_path):
    image, package = tmp_path / "bzImage", tmp_path / "linux.deb"
    module = tmp_path / "6.1" / "kernel" / "fs" / "a.ko"
    module.parent.mkdir(parents=True)
    for path in (image, package, module):
        path.write_bytes(b"something")
    assert key(f"deb:{package}") == source_key("DebSpec", state(package))
    assert key(f"file:{image}") == source_key("FileSpec", state(image))
    modules = tmp_path / "6.1"
    assert key(f"file:{image},modules={modules}") == source_key("FileSpec", str(modules), state(image), state(module))
    tree = tmp_path / "tree"
    (tree / "arch/x86/boot").mkdir(parents=True)
    (tree / "modules.order").write_text("fs/a.o\n")
    (tree / "fs").mkdir()
    os.link(image, tree / "arch/x86/boot/bzImage")
    os.link(module, tree / "fs/a.ko")
    assert key(f"tree:{tree}") == source_key("TreeSpec", state(tree / "arch/x86/boot/bzImage"), state(tree / "fs/a.ko"))


def test_what_is_not_there_has_no_key(key, tmp_path):
    for text in (f"deb:{tmp_path}/none.deb", f"file:{tmp_path}/none", f"tree:{tmp_path}"):
        with pytest.raises(ConfigError):
            key(text)


def test_nothing_is_written_before_a_kernel_is_added(key, tmp_path):
    image = tmp_path / "bzImage"
    image.write_bytes(b"something")
    assert KernelCache(tmp_path / "cache" / "kernels").find(key(f"file:{image}")) is None
    assert not (tmp_path / "cache").exists()
