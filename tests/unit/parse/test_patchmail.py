"""One mail as a patch: what it says, how it was sent, and that nothing at all ends otherwise than told."""

import base64
import codecs
import quopri
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mails import BY, diff, mail, patch

from harness.errors import ConfigError
from harness.parse.patchdiff import strips
from harness.parse.patchmail import NOBODY, NOWHERE, NoPatch, Patch, Tag, Why, read_mail, split_mails

pytestmark = pytest.mark.unit


def read(text: str | bytes) -> Patch | NoPatch:
    ((name, content),) = split_mails("x.patch", text.encode() if isinstance(text, str) else text)
    return read_mail(name, content)


def patch_of(text: str | bytes) -> Patch:
    found = read(text)
    assert isinstance(found, Patch), found
    return found


def why(text: str | bytes) -> Why:
    found = read(text)
    assert isinstance(found, NoPatch)
    return found.why


def test_a_mail_of_git_format_patch() -> None:
    found = patch_of(patch("[PATCH v2 3/4] fs: one\n thing"))
    assert (found.title, found.author, found.email) == ("fs: one thing", "Ann Other", "ann@example.org")
    assert found.tag == Tag(version=(2,), number=3, total=4)
    assert found.message == "Why line.\n\nSigned-off-by: Ann Other <ann@example.org>"
    assert found.date == "@1767319445 +0100"
    assert found.diff.decode().startswith(diff())
    assert found.strips == (1,)


@pytest.mark.parametrize(
    ("subject", "tag", "title"),
    [
        ("[PATCH] fs: x", Tag(), "fs: x"),
        ("[PATCH 01/12] fs: x", Tag(number=1, total=12), "fs: x"),
        ("[RFC PATCH v3 net-next 2/5] fs: x", Tag(version=(3,), number=2, total=5), "fs: x"),
        ("[PATCHv2 2/5] fs: x", Tag(version=(2,), number=2, total=5), "fs: x"),
        ("[PATCH V2 RESEND 2/5] fs: x", Tag(version=(2,), number=2, total=5), "fs: x"),
        ("[PATCH 2/5 v2] fs: x", Tag(version=(2,), number=2, total=5), "fs: x"),
        ("[PATCH v2] [2/5] fs: x", Tag(version=(2,), number=2, total=5), "fs: x"),
        ("[v3,2/4] fs: x", Tag(version=(3,), number=2, total=4), "fs: x"),
        ("[PATCH v2.1 2/4] fs: x", Tag(version=(2, 1), number=2, total=4), "fs: x"),
        ("[PATCH 6.1 2/4] fs: x", Tag(number=2, total=4), "fs: x"),
        ("[linux-fs] [PATCH 2/4] [media] x", Tag(number=2, total=4), "[linux-fs] [media] x"),
        ("[dispatch] fs: x", None, "[dispatch] fs: x"),
        ("fs: x [PATCH 1/2]", None, "fs: x [PATCH 1/2]"),
    ],
)
def test_what_brackets_say(subject: str, tag: Tag | None, title: str) -> None:
    found = patch_of(patch(subject))
    assert (found.tag, found.title) == (tag, title)


COVER = "What it is for.\n\n---\nbase-commit: 0123456789abcdef0123456789abcdef01234567\nchange-id: 20260102-x-1\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # As b4 writes it, and with an interdiff.
        (mail("[PATCH 0/2] fs: two", COVER), Why.COVER),
        (mail("[PATCH v2 00/12] fs: two", f"Interdiff against v1:\n{diff()}"), Why.COVER),
        (mail("Re: [PATCH v2 1/2] fs: x", f"What about this?\n\n---\n{diff()}"), Why.REPLY),
        (mail("AW: [PATCH v2 1/2] fs: x", diff()), Why.REPLY),
        (mail("Re: Re: [PATCH v2 0/2] fs: x", "> " + diff().replace("\n", "\n> ")), Why.REPLY),
        (
            mail("[GIT PULL] fs for v7.2", "The following changes\n----\n fs/one.c | 2 +-\n 1 file changed\n"),
            Why.NO_DIFF,
        ),
        (mail("[PATCH 1/2] fs: x", "Lost.\n---\n fs/one.c | 2 +-\n"), Why.NO_DIFF),
        (mail("range-diff", "1:  111 ! 1:  222 x\n    @@ fs/one.c\n    - old\n    + new\n"), Why.NO_DIFF),
        ("hello\n", Why.NO_MAIL),
        ("", Why.NO_MAIL),
    ],
)
def test_what_is_no_patch(text: str, reason: Why) -> None:
    assert why(text) is reason


def encoded(text: str, kind: str, charset: str = "utf-8") -> bytes:
    head, _, body = text.partition("\n\n")
    raw = body.encode(charset)
    told = base64.encodebytes(raw) if kind == "base64" else quopri.encodestring(raw) if kind != "8bit" else raw
    head += f"\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {kind}\n\n"
    return head.encode() + told


def test_line_ends_of_the_way_are_not_those_of_the_file() -> None:
    plain = patch("[PATCH 1/2] fs: x")
    wanted = patch_of(plain)
    head, _, body = plain.partition("\n\n")
    crlf = body.replace("\n", "\r\n")
    for sent in (plain.replace("\n", "\r\n"), encoded(f"{head}\n\n{crlf}", "base64"), encoded(plain, "base64")):
        found = patch_of(sent)
        assert (found.diff.strip(), found.message, found.title) == (wanted.diff.strip(), wanted.message, wanted.title)
    # A file that has CR LF itself keeps it, and an old line that ends otherwise than the new one, too.
    dos = plain.replace("new line\n", "new line\r\n")
    assert b"+new line\r\n same\n" in patch_of(dos).diff
    assert b"+new line\r\n same\n" in patch_of(encoded(dos, "base64")).diff


@pytest.mark.parametrize("kind", ["8bit", "base64", "quoted-printable"])
def test_titles_and_texts_of_other_charsets(kind: str) -> None:
    said = patch("[PATCH] fs: x").replace("Why line", "Wärum")
    assert patch_of(encoded(said, kind, "iso-8859-1")).message.startswith("Wärum.")
    # Latin-1 that nobody declared, in headers and text.
    raw = patch("[PATCH] fs: Größe", sender="Jörg <j@example.org>").replace("Why line", "Wärum").encode("latin-1")
    found = patch_of(raw)
    assert (found.title, found.author, found.message[:6]) == ("fs: Größe", "Jörg", "Wärum.")
    words = "=?utf-8?q?fs=3A_Gr=C3=B6=C3=9F?= =?utf-8?B?ZQ==?="
    found = patch_of(patch(f"[PATCH] {words}", sender="=?iso-8859-1?Q?J=F6rg?= <j@example.org>"))
    assert (found.title, found.author) == ("fs: Größe", "Jörg")


def test_byte_order_marks() -> None:
    for text in (patch("[PATCH] fs: x"), diff()):
        for content in (codecs.BOM_UTF8 + text.encode(), text.encode("utf-16")):
            assert patch_of(content).diff.startswith(b"diff --git")
    with pytest.raises(ConfigError, match="damaged"):
        read(codecs.BOM_UTF16_LE + b"x")


@pytest.mark.parametrize(
    ("sender", "author", "address"),
    [
        ('"Last, First" <a@b.c>', "Last, First", "a@b.c"),
        ("Last, First <a@b.c>", "Last, First", "a@b.c"),
        ("a@b.c", "a@b.c", "a@b.c"),
        ("a@b.c (Ann O)", "Ann O", "a@b.c"),
        ("<a@b.c>", "a@b.c", "a@b.c"),
        ("Ann <>", "Ann", NOWHERE),
        ('"" <>', NOBODY, NOWHERE),
        (". <a@b.c>", "a@b.c", "a@b.c"),
        ("", NOBODY, NOWHERE),
        ("Ann\n evil: x <a@b.c>", "Ann evil: x", "a@b.c"),
    ],
)
def test_people_that_git_takes(sender: str, author: str, address: str) -> None:
    found = patch_of(patch("[PATCH] x", sender=sender))
    assert (found.author, found.email) == (author, address)


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        ("Thu, 1 Jan 1970 01:00:00 +0100", "@0 +0100"),
        ("Wed, 31 Dec 1969 23:59:59 +0000", ""),
        ("Mon, 1 Jan 1900 00:00:00 +0000", ""),
        ("Fri, 2 Jan 2026 03:04:05 -0330", "@1767335645 -0330"),
        ("Fri, 2 Jan 99999999999 03:04:05 +0000", ""),
        ("Fri, 2 Jan 2026 03:04:05 +9999", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_dates_that_git_keeps(date: str, kept: str) -> None:
    assert patch_of(patch("[PATCH] x", date=date)).date == kept


def test_headers_in_the_body_name_the_author() -> None:
    body = f"From: Bob <bob@example.org>\nSubject: fs: bob's\n\nText.\n---\n{diff()}"
    found = patch_of(mail("[PATCH 2/2] fs: x", body))
    assert (found.author, found.title, found.message) == ("Bob", "fs: bob's", "Text.")
    assert found.tag == Tag(number=2, total=2)


def test_an_attached_patch_is_read_and_html_is_not() -> None:
    parts = [
        "Content-Type: text/plain\n\nText.",
        f"Content-Type: text/html\n\n<pre>\n{diff('html')}",
        f'Content-Type: application/octet-stream\nContent-Disposition: attachment; filename="x.patch"\n\n{diff()}',
    ]
    body = "".join(f"--b\n{part}\n" for part in parts) + "--b--\n"
    found = patch_of(mail("[PATCH] x", body, headers="Content-Type: multipart/mixed; boundary=b\n"))
    assert found.diff.decode().strip() == diff().strip()
    assert found.message == "Text."


def test_a_mailbox_is_split_at_its_separators_only() -> None:
    text = patch("[PATCH 1/2] x").replace("Why line.", "From here on it is slow.\nFrom: not a header")
    mails = split_mails("box", (text + patch("[PATCH 2/2] y")).encode())
    assert [name for name, _ in mails] == ["box, mail 1", "box, mail 2"]
    assert [isinstance(read_mail(*one), Patch) for one in mails] == [True, True]
    assert len(split_mails("box", diff().encode())) == 1


@pytest.mark.parametrize(
    "line",
    [
        BY,
        "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\n",
        "From - Fri Jan  2 03:04:05 2026\n",
        "From 179@xxx Fri Jan 02 03:04:05 +0000 2026\r\n",
        "From ann at example.org  Fri Jan  2 03:04:05 2026\n",
        "From ann@example.org\n",
    ],
)
def test_what_stands_before_a_mail_of_a_mailbox(line: str) -> None:
    box = "".join(patch(f"[PATCH {number}/2] x").replace(BY, line) for number in (1, 2))
    assert len(split_mails("box", box.encode())) == 2


def test_mails_that_nothing_separates_are_refused() -> None:
    with pytest.raises(ConfigError, match="holds several mails"):
        read("".join(patch(f"[PATCH {number}/2] x").removeprefix(BY) for number in (1, 2)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (diff(), (1,)),
        (diff().replace("a/", "i/").replace("b/", "w/"), (1,)),
        (diff().replace("a/fs", "fs").replace("b/fs", "fs"), (0,)),
        ("diff --git a name b name\nrename from a name\nrename to b name\n", (0,)),
        ("diff --git a/x b/y\nrename from x\nrename to y\n", (1,)),
        ("--- linux.orig/x.c\t2026\n+++ linux/x.c\t2026\n@@ -1 +1 @@\n", (1,)),
        ("--- linux/x.c\t2026\n+++ linux/x.c\t2026\n@@ -1 +1 @@\n", (0, 1)),
        ("--- /dev/null\n+++ b/x.c\n@@ -0,0 +1 @@\n", (1,)),
    ],
)
def test_how_files_are_named(text: str, found: tuple[int, ...]) -> None:
    assert strips(text.encode()) == found


# Whatever the bytes are.

_WORDS = st.sampled_from(
    [
        "Re: ", "[PATCH 1/2] ", "[PATCH v99999999999 1/2]", "[٣/٤]", "[" * 50, "=?utf-7?q?+2AA-?=", "=?x?b?=?=",
        "=?utf-8?B?/?=", "\x1b[2J", "\0", "\udcff", "a@b", "<", ">", '"', "x, y <z@>", "Thu, 1 Jan 1970 00:00:00",
        "+99999", "\r", "\t", "é", "multipart/mixed; boundary=b", "text/plain; charset=utf-7",
        "text/plain; charset=\0", "text/plain; charset*=a'b'c", "text/plain; charset=idna", "message/rfc822",
        "base64", "quoted-printable", "x-uuencode", "unicode_escape", "9" * 5000,
    ]
)  # fmt: skip
_HEADERS = st.sampled_from(
    ["From", "Subject", "Date", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "MIME-Version", "X"]
)
_LINES = st.one_of(
    st.builds(lambda name, words: f"{name}: {''.join(words)}", _HEADERS, st.lists(_WORDS, max_size=4)),
    st.sampled_from(["", "---", "--b", "--b--", "-- ", " folded", BY.strip(), "begin 644 x", "=", "=00", "+2AA-"]),
    st.sampled_from(diff().splitlines()),
    st.text(max_size=20),
)
MAILS = st.lists(_LINES, max_size=30).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))


@given(st.one_of(MAILS, MAILS.map(lambda content: content + b"\n" + diff().encode()), st.binary(max_size=300)))
def test_any_mail_is_a_patch_or_none_or_the_inputs_fault(content: bytes) -> None:
    try:
        mails = split_mails("x", content)
    except ConfigError:
        return
    for name, one in mails:
        try:
            found = read_mail(name, one)
        except ConfigError:
            continue
        if isinstance(found, Patch):
            for line in (found.title, found.author, found.email):
                assert line.strip()
                assert not re.search(r"[\x00-\x1f\x7f]", line)
            # A name of these alone is none for git.
            for name in (found.author, found.email):
                assert name.strip(" .,:;<>\"\\'")
            assert not re.search(r"[<>\s]", found.email)
            assert "\0" not in found.message
            for text in (found.title, found.author, found.email, found.message):
                text.encode()
            assert re.fullmatch(r"(@\d+ [+-]\d{4})?", found.date, re.ASCII)
            assert found.diff
            assert found.strips
        else:
            assert found.why in Why


def test_mails_that_the_parser_gives_up_on_are_the_inputs_fault() -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(2000))
    with pytest.raises(ConfigError, match="cannot be read as a mail"):
        read(f"Subject: x\n{deep}")


@pytest.mark.parametrize(
    "text",
    [
        "From " + "1:11 2026" * 30_000,
        "From " + "a@" * 100_000 + "\n",
        f"From: {'a@(' * 100_000}\nSubject: {'[' * 100_000}{'=?' * 100_000}\n\n{diff()}",
        f"Subject: {'[PATCH] ' * 100_000}x\n\n{diff()}",
        f"Subject: {'Re: ' * 100_000}x\n\n{diff()}",
        "diff --git a b\n" * 50_000,
        "--- a\n+++ b\n" * 50_000,
    ],
)
def test_long_ones_take_no_longer_than_they_are_long(text: str) -> None:
    began = time.process_time()
    read(text)
    assert time.process_time() - began < 2
