"""Kernel specs: what each form means, and what is said about wrong ones."""

from pathlib import Path

import pytest
from kernelspecs import parse_kernel_spec

from harness.errors import ConfigError
from harness.kernels.debian.spec import DebianSpec
from harness.kernels.local.deb import DebSpec
from harness.kernels.local.file import FileSpec
from harness.kernels.local.host import HostSpec
from harness.kernels.local.tree import TreeSpec

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("debian:6.12", DebianSpec(selector="6.12")),
        (" debian:6.12/amd64 ", DebianSpec(selector="6.12", flavour="amd64")),
        ("debian:trixie-backports", DebianSpec(selector="trixie-backports")),
        ("debian:7.2.12+deb13-cloud-amd64", DebianSpec(selector="7.2.12+deb13-cloud-amd64")),
        ("debian:6.12.43-1~bpo12+1", DebianSpec(selector="6.12.43-1~bpo12+1")),
        ("deb:a.deb,/x/b.deb", DebSpec(packages=(Path("a.deb"), Path("/x/b.deb")))),
        ("file:/boot/vmlinuz", FileSpec(bzimage=Path("/boot/vmlinuz"))),
        (
            "file:bzImage,modules=/lib/modules/6.1",
            FileSpec(bzimage=Path("bzImage"), modules=Path("/lib/modules/6.1")),
        ),
        ("tree:~/linux", TreeSpec(directory=Path("~/linux"))),
        ("host", HostSpec()),
    ],
)
def test_forms(text, spec):
    assert parse_kernel_spec(text) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("6.12", "Did you mean `debian:6.12`?"),
        ("v6.12", "Did you mean `debian:6.12`?"),
        ("6.12/amd64", "Did you mean `debian:6.12/amd64`?"),
        ("trixie-backports", "Did you mean `debian:trixie-backports`?"),
        ("./linux-image.deb", "Did you mean `deb:./linux-image.deb`?"),
        ("/boot/vmlinuz-6.1", "Did you mean `file:/boot/vmlinuz-6.1`?"),
        ("~/src/linux", "Did you mean `tree:~/src/linux`"),
        ("", "A kernel is named in one of these ways"),
        ("debain:6.12", "Did you mean `debian:6.12`?"),
        ("debian:", "names no kernel after `debian:`"),
        ("debian:6.12/rt-amd64", "Flavours are cloud-amd64, amd64, cloud-arm64 and arm64."),
        ("debian:6.1.0-56-cloud-amd64/amd64", "is of flavour cloud-amd64, not amd64"),
        ("debian:6 12", "neither a version nor a suite"),
        ("deb:linux.rpm", "`linux.rpm` is not a Debian package"),
        ("deb:a.deb,", "`` is not a Debian package"),
        ("file:bzImage,module=/x", "cannot read `module=/x`"),
        ("file:,modules=/x", "names no kernel image"),
        ("file:a,modules=/x,modules=/y", "cannot read `modules=/y`"),
        ("host:x", "takes nothing after it"),
    ],
)
def test_wrong_forms_say_the_right_one(text, said):
    with pytest.raises(ConfigError) as caught:
        parse_kernel_spec(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["debian:6.\n12", "file:/a\0b", "tree:/a\tb", "deb:a\x1b[2J.deb", "git:/a@b\nc", "\x85debian:6.12\x07", "ho\rst"],
)
def test_control_characters_are_refused(text):
    with pytest.raises(ConfigError, match="control character") as caught:
        parse_kernel_spec(text)
    assert caught.value.message.isprintable()


def test_what_stands_around_a_spec_does_not_matter():
    assert parse_kernel_spec(" host\n") == HostSpec()
