"""Series as they come from the field, made a history by the real git."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from mails import mail
from repositories import git, patches

from harness.errors import ConfigError, DoesNotApplyError, HostError
from harness.git import seriesfiles
from harness.git.repository import Repository

pytestmark = pytest.mark.integration


@pytest.fixture
def files(tree: Path, tmp_path: Path) -> list[Path]:
    """A series of two: fs-two and fs-three, on top of v1."""
    return patches(tree, tmp_path / "series")


@pytest.fixture
def wanted(opened: Repository, files: list[Path]) -> tuple[str, ...]:
    return opened.add_series(opened.resolve("v1"), files[0].parent)


def add(opened: Repository, source: Path | str, **more: object) -> tuple[str, ...]:
    return opened.add_series(opened.resolve("v1"), source, **more)  # type: ignore[arg-type]


def test_the_commits_are_those_of_the_patches(opened: Repository, files: list[Path], wanted: tuple[str, ...]) -> None:
    read = [opened.commit(sha) for sha in wanted]
    assert [commit.title for commit in read] == ["fs/file.c: fs-two", "fs/file.c: fs-three"]
    assert read[1].tree == opened.commit(opened.resolve("side")).tree
    written = git(opened.git_dir, "show", "-s", "--format=%an %ae %ad", "--date=iso", wanted[0])
    assert written == "Ann Ö ann@example.org 2026-01-02 03:04:05 +0100"


def test_a_thread_is_the_series_in_it(
    opened: Repository, files: list[Path], wanted: tuple[str, ...], tree: Path, tmp_path: Path
) -> None:
    old = [path.read_text().replace("fs-", "old-") for path in files]
    new = [path.read_text().replace("[PATCH ", "[PATCH v2 ") for path in files]
    cover = mail("[PATCH v2 0/2] all", "What for.\n\n---\nbase-commit: 0123456789abcdef\nchange-id: 2026-x-1\n")
    reply = mail("Re: [PATCH v2 1/2] x", "Rather so:\n\n---\n" + old[0][old[0].index("diff --git") :])
    pull = mail("[GIT PULL] fs", "are available\n----\n fs/file.c | 2 +-\n 1 file changed, 1 insertion(+)\n")
    thread = tmp_path / "thread.mbox"
    thread.write_text("\n".join([new[1], reply, old[1], old[0], pull, new[0], cover]))
    notes: list[str] = []
    assert add(opened, thread, say=notes.append) == wanted
    assert "v2 of the series is used, not v1" in notes[0]
    assert notes[1].endswith("left out 1 cover letter, 1 reply, 1 mail without a diff")
    thread.write_text("\n".join([*new, *(part.replace(" line 2", " none 2") for part in old[::-1])]))
    assert add(opened, thread) == wanted
    with pytest.raises(DoesNotApplyError, match="mail 4 does not apply"):
        add(opened, thread, version=(1,))
    thread.write_text(new[1])
    with pytest.raises(ConfigError, match="lacks the patch 1/2 of v2"):
        add(opened, thread)


def test_a_folder_is_sorted_as_people_count(opened: Repository, tree: Path, tmp_path: Path) -> None:
    git(tree, "checkout", "-q", "side")
    folder = tmp_path / "numbered"
    folder.mkdir()
    for number in range(1, 11):
        (tree / "count").write_text(f"{number}\n")
        git(tree, "add", "count")
        git(tree, "commit", "-qm", f"count {number}")
        (folder / f"{number}.patch").write_text(git(tree, "format-patch", "-1", "-N", "--stdout") + "\n")
    git(tree, "checkout", "-q", "main")
    (folder / "3.patch~").write_text("an editor's")
    made = opened.add_series(opened.resolve("side~10"), folder)
    assert [opened.commit(sha).title for sha in made] == [f"count {number}" for number in range(1, 11)]
    # What is named a patch and is none is not passed over.
    (folder / "5.patch").write_text("cut")
    with pytest.raises(ConfigError, match=r"5\.patch holds no patch"):
        opened.add_series(opened.resolve("side~10"), folder)
    (folder / "5.patch").unlink()
    (folder / "5.patch").symlink_to("gone")
    with pytest.raises(ConfigError, match="cannot read the patches"):
        opened.add_series(opened.resolve("side~10"), folder)


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", zstandard.ZstdCompressor().compress),
        # Found out by what it holds, not by its name.
        ("", gzip.compress),
    ],
)
def test_a_compressed_mailbox_is_read(
    opened: Repository, files: list[Path], wanted: tuple[str, ...], tmp_path: Path, suffix: str,
    pack: Callable[[bytes], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    packed = pack(b"".join(path.read_bytes() for path in reversed(files)))
    box = tmp_path / f"thread.mbox{suffix}"
    box.write_bytes(packed)
    assert add(opened, box) == wanted
    box.write_bytes(packed[:-9])
    with pytest.raises(ConfigError, match="is damaged"):
        add(opened, box)
    # A bomb.
    monkeypatch.setattr(seriesfiles, "MOST_BYTES", 2**20)
    box.write_bytes(pack(bytes(2**24)))
    with pytest.raises(ConfigError, match="too much for a patch series"):
        add(opened, box)


def test_maildirs_and_files_without_a_suffix(
    opened: Repository, files: list[Path], wanted: tuple[str, ...], tmp_path: Path
) -> None:
    box = tmp_path / "maildir"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    (box / "new/1767.M1.host").write_bytes(files[1].read_bytes())
    (box / "cur/1768.M2.host:2,S").write_bytes(files[0].read_bytes())
    (box / "tmp/1769.half").write_text("diff --git a/x b/x\n")
    assert add(opened, box) == wanted
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in files:
        (plain / path.stem).write_bytes(path.read_bytes())
    (plain / "notes").write_text("To do.\n")
    (plain / "of-mine").mkdir()
    assert add(opened, plain) == wanted


def test_line_ends_charsets_and_names_of_the_field(opened: Repository, files: list[Path], tmp_path: Path) -> None:
    base, tree_of_side = opened.resolve("v1"), opened.commit(opened.resolve("side")).tree
    folder = tmp_path / "field"
    folder.mkdir()
    for change in (
        lambda mail: mail.replace(b"\n", b"\r\n"),
        lambda mail: b"\xef\xbb\xbf" + mail,
        lambda mail: mail.replace(b"Subject: [PATCH 1/2] ", b"Subject: [PATCH 1/2] Gr\xf6\xdfe "),
        lambda mail: mail.replace(b"Date: Fri, 2 Jan 2026", b"Date: Wed, 2 Jan 1952"),
        lambda mail: b"From: <>\n" + mail[mail.index(b"Date:") :],
        lambda mail: b'From: "." <>\n' + mail[mail.index(b"Date:") :],
        lambda mail: mail[mail.index(b"Date:") :],
        lambda mail: mail.replace(b"\n---\n", b"\n\0 and \x1b[2J\n---\n", 1),
        lambda mail: mail.replace(b" a/", b" ").replace(b" b/", b" "),
        lambda mail: mail.decode().encode("utf-16"),
    ):
        for path in files:
            (folder / path.name).write_bytes(change(path.read_bytes()))
        made = opened.add_series(base, folder)
        assert opened.commit(made[-1]).tree == tree_of_side
        assert made == opened.add_series(base, folder)
        assert all(opened.commit(sha).author for sha in made)


def test_patches_that_no_tree_can_take_are_the_inputs_fault(opened: Repository, tmp_path: Path) -> None:
    hostile = tmp_path / "x.patch"
    for name in ("../x", ".git/config", "fs/../x", "/etc/x"):
        hostile.write_text(
            f"diff --git a/{name} b/{name}\nnew file mode 100644\nindex 0000000..1\n--- /dev/null\n+++ b/{name}\n"
            "@@ -0,0 +1 @@\n+x\n"
        )
        with pytest.raises(ConfigError, match="damaged"):
            add(opened, hostile)
    for text in ("Binary files a/x and b/x differ\n", "GIT binary patch\nliteral 9\nz\n", "old mode 9\n", "index 0\n"):
        hostile.write_text(f"diff --git a/Makefile b/Makefile\n{text}")
        with pytest.raises(ConfigError, match="damaged"):
            add(opened, hostile)


@pytest.mark.parametrize("name", ["", "none", "/dev/zero", "fifo", "~nobody-of-this-name/x", "x\0y", "n" * 5000])
def test_what_cannot_be_a_series_is_refused(opened: Repository, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError):
        add(opened, str(tmp_path / name) if name == "fifo" else name)


def test_a_message_id_is_fetched_with_b4_where_it_is_installed(
    opened: Repository, files: list[Path], wanted: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    if not Path("/usr/bin/b4").exists():
        with pytest.raises(HostError, match="b4, which would fetch it as a Message-ID, is not installed"):
            add(opened, "2026-x-1@example.org")
    thread = tmp_path / "thread"
    thread.write_bytes(files[1].read_bytes() + files[0].read_bytes())
    # Stands for b4: `b4 mbox -o DIR MESSAGE-ID` writes DIR/MESSAGE-ID.mbx.
    (programs / "b4").write_text(
        f'#!/bin/sh\n[ "$1 $2 $4" = "mbox -o 2026-x-1@example.org" ] && exec cp {thread} "$3/$4.mbx"\n'
        "echo That message-id is not known.; exit 1\n"
    )
    (programs / "b4").chmod(0o755)
    assert add(opened, "2026-x-1@example.org") == wanted
    assert add(opened, "https://archive.example.org/all/2026-x-1@example.org/") == wanted
    with pytest.raises(ConfigError, match=r"b4 knows no mail other@example\.org"):
        add(opened, "other@example.org")
    (programs / "b4").write_text("#!/bin/sh\necho Name or service unknown; exit 1\n")
    with pytest.raises(HostError, match="b4 could not fetch"):
        add(opened, "2026-x-1@example.org")
