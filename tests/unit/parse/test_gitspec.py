"""Specs of kernels from git: each part, and what is said about wrong ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.model.source import BuildSettings, GitSpec, Operation, OperationKind
from harness.parse.gitspec import git_text, is_git_range, parse_git, parse_git_range

pytestmark = pytest.mark.unit

LINUX = Path("~/linux")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("git:~/linux@v6.12", GitSpec(tree=LINUX, revision="v6.12")),
        ("git:.@HEAD~3", GitSpec(tree=Path(), revision="HEAD~3")),
        ("git:~/linux@HEAD@{1}", GitSpec(tree=LINUX, revision="HEAD@{1}")),
        ("git:/home/a@b/linux@v6.1", GitSpec(tree=Path("/home/a@b/linux"), revision="v6.1")),
        (
            "git:~/linux@v7.1+revert=abc123+pick=fix/topic",
            GitSpec(
                tree=LINUX,
                revision="v7.1",
                operations=(
                    Operation(kind=OperationKind.REVERT, revision="abc123"),
                    Operation(kind=OperationKind.PICK, revision="fix/topic"),
                ),
            ),
        ),
        (
            "git:~/linux@v7.1,config=localmod,fragment=a.config,fragment=b.config,cc=clang-16",
            GitSpec(
                tree=LINUX,
                revision="v7.1",
                build=BuildSettings(
                    config="localmod", fragments=(Path("a.config"), Path("b.config")), compiler="clang-16"
                ),
            ),
        ),
        ("git:~/linux@@", GitSpec(tree=LINUX, revision="@")),
        ("git:~/linux@@~1", GitSpec(tree=LINUX, revision="@~1")),
        ("git:~/linux@@^2", GitSpec(tree=LINUX, revision="@^2")),
        ("git:~/linux@@{1}", GitSpec(tree=LINUX, revision="@{1}")),
        ("git:~/linux@@{upstream}~2", GitSpec(tree=LINUX, revision="@{upstream}~2")),
        ("git:..@@", GitSpec(tree=Path(".."), revision="@")),
        ("git:..@HEAD", GitSpec(tree=Path(".."), revision="HEAD")),
        ("git:/home/a@b/linux@@~1", GitSpec(tree=Path("/home/a@b/linux"), revision="@~1")),
        ("git:~/linux@:/fix the lock", GitSpec(tree=LINUX, revision=":/fix the lock")),
        ("git:~/linux@:/mail a@b.c: x, y..z", GitSpec(tree=LINUX, revision=":/mail a@b.c: x, y..z")),
        (
            "git:~/linux@:/a, b,cc=gcc-12",
            GitSpec(tree=LINUX, revision=":/a, b", build=BuildSettings(compiler="gcc-12")),
        ),
        (
            "git:~/linux@v7.1+revert=@~1",
            GitSpec(tree=LINUX, revision="v7.1", operations=(Operation(kind=OperationKind.REVERT, revision="@~1"),)),
        ),
        (
            "git:~/linux@@+pick=:/fix, at last",
            GitSpec(
                tree=LINUX,
                revision="@",
                operations=(Operation(kind=OperationKind.PICK, revision=":/fix, at last"),),
            ),
        ),
        (
            "git:/src/linux,stable@v6.1,config=/a,b.config,fragment=/c@d,e",
            GitSpec(
                tree=Path("/src/linux,stable"),
                revision="v6.1",
                build=BuildSettings(config="/a,b.config", fragments=(Path("/c@d,e"),)),
            ),
        ),
        (
            "git:/src/a,,cc=b@v1,,2,config=/a,,cc=x",
            GitSpec(tree=Path("/src/a,cc=b"), revision="v1,2", build=BuildSettings(config="/a,cc=x")),
        ),
        (
            "git:~/linux@v7.1,builder=./build.sh",
            GitSpec(tree=LINUX, revision="v7.1", build=BuildSettings(builder=Path("build.sh"))),
        ),
    ],
)
def test_forms(text, spec):
    assert parse_git(text, text.removeprefix("git:")) == spec
    assert parse_git("", git_text(spec).removeprefix("git:")) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("git:~/linux", "names no revision of a tree"),
        ("git:@v6.12", "names no revision of a tree"),
        ("git:~/linux@", "names no revision of a tree"),
        ("git:~/linux@v6.7..v7.2", "is a range of revisions"),
        ("git:~/linux@+revert=abc", "names no revision"),
        ("git:~/linux@v6.12,config", "cannot read `config`"),
        ("git:~/linux@v6.12,cc=", "cannot read `cc=`"),
        ("git:~/linux@v6.12,compiler=gcc", "there is no option `compiler`"),
        ("git:~/linux@v6.12,cc=gcc,compiler=gcc", "there is no option `compiler`"),
        ("git:~/linux@v6.12,cc=gcc,localmod", "cannot read `localmod`"),
        ("git:~/linux@v6.12+pick=x,config", "cannot read `config`"),
        ("git:~/linux@@~1..@", "is a range of revisions"),
        ("git:~/linux@v6.12+revert=", "names no revision"),
        ("git:~/linux@v6.12\x1b[2J,x", "cannot read `x`"),
        ("git:a\0b@c", "holds a NUL"),
        ("git:@@", "names no revision of a tree"),
    ],
)
def test_what_is_no_spec(text, said):
    with pytest.raises(ConfigError, match=said.replace("=", "\\=")) as caught:
        parse_git(text, text.removeprefix("git:"))
    assert "git:TREE@REV" in caught.value.remedy


def test_ranges():
    spec, newer = parse_git_range("git:~/linux@v6.7..v7.2,cc=clang")
    assert (spec.revision, newer, spec.build.compiler) == ("v6.7", "v7.2", "clang")
    assert is_git_range("git:../linux@v6.7..HEAD")
    assert not is_git_range("git:../linux@v6.7")
    assert not is_git_range("git:a..b/linux@v6.7,fragment=../x")
    for text, older, newer in (
        ("git:~/linux@@~5..@", "@~5", "@"),
        ("git:~/linux@v1..@", "v1", "@"),
        ("git:~/linux@v1..@~1", "v1", "@~1"),
        ("git:..@v1..@^2", "v1", "@^2"),
        ("git:~/linux@@{u}..main", "@{u}", "main"),
        ("git:~/linux@@..main", "@", "main"),
    ):
        assert is_git_range(text)
        spec, last = parse_git_range(text)
        assert (spec.revision, last) == (older, newer)
    assert not is_git_range("git:~/linux@:/x..y")
    assert not is_git_range("git:~/linux..x")


@pytest.mark.parametrize("text", ["git:~/linux@v6.7", "git:~/linux@..v7.2", "git:~/linux@v6.7..", "git:~/l@a...b"])
def test_what_is_no_range(text):
    with pytest.raises(ConfigError, match="no range of revisions"):
        parse_git_range(text)


NAMES = st.from_regex(r"[A-Za-z0-9_/,=-]{1,12}", fullmatch=True).filter(lambda name: name.strip("/"))
OPERATIONS = st.builds(Operation, kind=st.sampled_from(OperationKind), revision=NAMES)


@given(
    spec=st.builds(
        GitSpec,
        tree=NAMES.map(Path),
        revision=NAMES,
        operations=st.lists(OPERATIONS, max_size=3).map(tuple),
        build=st.builds(
            BuildSettings,
            config=NAMES,
            fragments=st.lists(NAMES.map(Path), max_size=2).map(tuple),
            compiler=st.none() | NAMES,
            builder=st.none() | NAMES.map(Path),
        ),
    )
)
def test_what_is_written_is_read_back(spec):
    assert parse_git("", git_text(spec).removeprefix("git:")) == spec
