"""One mail, or one bare diff, as a patch: what git's own mailinfo reads, and total where that gives up.

Whatever the bytes are, reading ends in a ``Patch``, in a ``NoPatch`` that says why it is none, or in ConfigError.
"""

import binascii
import codecs
import email
import email.message
import re
from dataclasses import dataclass
from datetime import UTC
from email.errors import MessageError
from email.utils import parsedate_to_datetime
from enum import StrEnum

from harness.errors import ConfigError
from harness.parse.foreign import printable
from harness.parse.patchdiff import find_diff, strips, without_transport

NOBODY = "unknown"
NOWHERE = "unknown@localhost.invalid"
# What the standard library's parser is known to raise for mails that nobody would write.
_PARSER_GIVES_UP = (
    AssertionError, AttributeError, LookupError, MessageError, RecursionError, TypeError, ValueError
)  # fmt: skip
# The line before each mail of a mailbox: with a time and a year and a header after it, or without them and a header of
# those that mails begin with.
_SEPARATOR = re.compile(
    rb"^From (?:[^\n]{0,200}\d{1,2}:\d{2}[^\n]{0,200}\d{4}[^\n]{0,200}\n(?=[!-9;-~]{1,80}:|>?From )"
    rb"|(?:\S{1,100}@\S{1,100}|-|MAILER-DAEMON)[ \t]*\r?\n(?=(?:Return-Path|Received|Delivered-To|X-[!-9;-~]{1,80}|From"
    rb"|Date|Subject|Message-I[Dd]|M(?:IME|ime)-Version|DKIM-Signature|Authentication-Results|ARC-[!-9;-~]{1,80}):))",
    re.MULTILINE,
)
# What is read of a header; an author's name is shorter.
_MOST_OF_A_HEADER = 4000
# Headers where nothing of a diff can stand: another mail begins there, without a line before it.
_ANOTHER = (re.compile(rb"^From: ", re.MULTILINE), re.compile(rb"^Subject: ", re.MULTILINE))
_ANSWER = re.compile(r"\s*(?:re|(?:aw|sv|vs|antw|odp|fwd?)(?=[\[:\d\]]+\s*\[))(?:\[\d+\])?\s*:", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*\[([^\[\]]*)\]")
_NUMBER = re.compile(r"(?:PATCH|RFC)?(\d{1,4})/(\d{1,4})", re.IGNORECASE)
_VERSION = re.compile(r"(?:PATCH|RFC)?v(\d{1,4}(?:\.\d{1,4})?)", re.IGNORECASE)
_PATCH_WORD = re.compile(r"\b(?:PATCH(?:SET|ES)?|RFC|RESEND)(?=\b|v?\d)", re.IGNORECASE)
_ENCODED = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?]*)\?=")
_ADDRESS = re.compile(r"([^<]*)<([^<>]*)>.*", re.DOTALL)
_IN_BODY = re.compile(r"(From|Subject|Date):[ \t]*(.*)", re.IGNORECASE)
# Where a message ends, for git: what follows is for the reader of the mail only.
_END_OF_MESSAGE = re.compile(r"^(?:---[ \t]*$|diff -|Index: )", re.MULTILINE)
# A name of these alone is none, for git.
_CRUD = " .,:;<>\"\\'"
_BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """What stands in brackets before a title: ``[PATCH v2 3/4]``."""

    # (2,) of v2, (2, 1) of v2.1; a patch without one is the first version.
    version: tuple[int, ...] = (1,)
    # None where there is no i/n; 0 is a cover letter.
    number: int | None = None
    total: int | None = None

    @property
    def version_text(self) -> str:
        """``v2``."""
        return "v" + ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A patch, fit for a commit: texts without controls, and names that git takes."""

    # As messages name it: its file, and its place there.
    name: str
    # None for what is no mail of a series: a bare diff, a title without brackets.
    tag: Tag | None
    title: str
    author: str
    email: str
    # "@SECONDS +HHMM"; empty where the mail has no date that git could keep.
    date: str
    # The commit's message below its title, stripped.
    message: str
    diff: bytes
    # How many leading folders of its file names to leave out: the likely number first.
    strips: tuple[int, ...]


class Why(StrEnum):
    """Why a mail is no patch."""

    COVER = "cover letter"
    REPLY = "reply"
    NO_DIFF = "mail without a diff"
    # Neither headers nor a diff.
    NO_MAIL = "other file"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPatch:
    """A mail to leave out."""

    name: str
    why: Why
    tag: Tag | None = None


def split_mails(name: str, content: bytes) -> list[tuple[str, bytes]]:
    """The mails of a mailbox with their names; of one mail, or of a bare diff, that alone. Raises ConfigError."""
    content = _unmarked(name, content)
    starts = [found.start() for found in _SEPARATOR.finditer(content)]
    if not starts or content[: starts[0]].strip():
        starts.insert(0, 0)
    ends = [*starts[1:], len(content)]
    mails = [content[start:end] for start, end in zip(starts, ends, strict=True)]
    if len(mails) == 1:
        return [(name, mails[0])]
    return [(f"{name}, mail {place}", mail) for place, mail in enumerate(mails, 1)]


def read_mail(name: str, content: bytes) -> Patch | NoPatch:
    """One mail or bare diff. Raises ConfigError for what cannot be read as either."""
    try:
        message = email.message_from_bytes(content)
        headers = _headers(message)
        body = b"\n".join(_parts(message))
        charset = message.get_content_charset()
    except _PARSER_GIVES_UP as error:
        raise ConfigError(
            f"{printable(name)} cannot be read as a mail: {printable(str(error), limit=200)}",
            remedy="Get the patch again, or take it out of the series.",
        ) from error
    subject = headers.get("subject", "")
    answer, tag, title = _subject(subject)
    if answer:
        return NoPatch(name=name, why=Why.REPLY, tag=tag)
    if tag is not None and tag.number == 0:
        return NoPatch(name=name, why=Why.COVER, tag=tag)
    start = find_diff(body)
    if start is None:
        return NoPatch(name=name, why=Why.NO_DIFF if {"from", "subject"} & headers.keys() else Why.NO_MAIL, tag=tag)
    diff = without_transport(body[start:])
    if all(header.search(diff) for header in _ANOTHER):
        raise ConfigError(
            f"{printable(name)} holds several mails, and nothing says where each of them begins",
            remedy="Save them as a mailbox (each after a line `From ...`), or as files of a folder.",
        )
    inner, text = _in_body(_text(body[:start], charset))
    end = _END_OF_MESSAGE.search(text)
    author, address = _person(inner.get("from") or headers.get("from", ""))
    return Patch(
        name=name,
        tag=tag,
        title=_line(_subject(inner["subject"])[2] if inner.get("subject") else title) or _line(name) or NOBODY,
        author=author,
        email=address,
        date=_date(inner.get("date") or headers.get("date", "")),
        message=(text[: end.start()] if end else text).replace("\0", "").strip(),
        diff=diff,
        strips=strips(diff),
    )


def _unmarked(name: str, content: bytes) -> bytes:
    """The bytes as UTF-8 without a byte order mark."""
    for mark, encoding in _BOMS.items():
        if content.startswith(mark):
            try:
                return content.decode(encoding).encode()
            except UnicodeError as error:
                raise ConfigError(
                    f"{printable(name)} begins as UTF-16 and is damaged: {error}", remedy="Get the patch again."
                ) from error
    return content.removeprefix(codecs.BOM_UTF8)


def _headers(message: email.message.Message) -> dict[str, str]:
    """The first header of each name, unfolded and decoded; names in lower case."""
    found: dict[str, str] = {}
    for name, value in message.raw_items():
        found.setdefault(name.lower(), _header(str(value)))
    return found


def _header(raw: str) -> str:
    # The parser keeps bytes that are not ASCII as surrogates.
    text = _text(raw[:_MOST_OF_A_HEADER].encode("utf-8", "surrogateescape"), None)
    text = re.sub(r"\?=\s+=\?", "?==?", re.sub(r"\r?\n", "", text))
    return _ENCODED.sub(_encoded_word, text)


def _encoded_word(found: re.Match[str]) -> str:
    charset, kind, text = found.groups()
    try:
        if kind in "bB":
            return _text(binascii.a2b_base64(text), charset)
        return _text(binascii.a2b_qp(text, header=True), charset)
    except ValueError:
        return found[0]


def _parts(message: email.message.Message) -> list[bytes]:
    """The decoded texts of a mail, attachments included; no HTML, and no mails in the mail."""
    found: list[bytes] = []
    open_ = [message]
    while open_:
        part = open_.pop(0)
        content = part.get_payload()
        if isinstance(content, list):
            if part.get_content_maintype() == "multipart":
                open_[:0] = [one for one in content if isinstance(one, email.message.Message)]
            continue
        attached = (part.get_filename() or "").lower().endswith((".patch", ".diff"))
        if attached or (part.get_content_maintype() == "text" and part.get_content_subtype() != "html"):
            decoded = part.get_payload(decode=True)
            found.append(decoded if isinstance(decoded, bytes) else b"")
    return found


def _text(content: bytes, charset: str | None) -> str:
    """Text of the charset that is said to be its, or of UTF-8, or of Latin-1; no lone surrogates, lines end in LF."""
    for encoding in (charset or "utf-8", "utf-8"):
        try:
            text = content.decode(encoding)
            break
        except (LookupError, ValueError):
            continue
    else:
        text = content.decode("latin-1")
    return text.encode("utf-8", "replace").decode().replace("\r\n", "\n")


def _subject(text: str) -> tuple[bool, Tag | None, str]:
    """Whether a subject is an answer's; its tag; and the title behind it."""
    text = " ".join(text.split())
    answer = False
    while found := _ANSWER.match(text):
        answer, text = True, text[found.end() :].strip()
    tag: Tag | None = None
    kept = ""
    while found := _BRACKETS.match(text):
        read = _tag(found[1])
        # "[media] title" keeps its brackets.
        kept += "" if read else f"{found[0].strip()} "
        tag = _both(tag, read)
        text = text[found.end() :]
    return answer, tag, f"{kept}{text.strip()}".strip()


def _tag(words: str) -> Tag | None:
    """What brackets say: ``PATCH net-next v2 3/4``, ``RFC``, ``v3,2/4``; None where they are no patch's."""
    tag, known = Tag(), False
    for word in re.split(r"[\s,]+", words):
        if number := _NUMBER.fullmatch(word):
            tag, known = Tag(version=tag.version, number=int(number[1]), total=int(number[2])), True
        elif version := _VERSION.fullmatch(word):
            parts = tuple(map(int, version[1].split(".")))
            tag, known = Tag(version=parts, number=tag.number, total=tag.total), True
        elif _PATCH_WORD.search(word):
            known = True
    return tag if known else None


def _both(one: Tag | None, other: Tag | None) -> Tag | None:
    """What ``[PATCH v2] [2/4]`` says together."""
    if one is None or other is None:
        return one or other
    numbered = one if one.number is not None else other
    return Tag(
        version=one.version if one.version != (1,) else other.version, number=numbered.number, total=numbered.total
    )


def _in_body(text: str) -> tuple[dict[str, str], str]:
    """Headers at the top of a body (a patch that somebody passes on names its author there), and the rest."""
    lines = text.lstrip("\n").split("\n")
    found: dict[str, str] = {}
    place = 0
    while place < len(lines) and (header := _IN_BODY.fullmatch(lines[place])):
        found.setdefault(header[1].lower(), _header(header[2]))
        place += 1
        while place < len(lines) and lines[place][:1] in {" ", "\t"} and lines[place].strip():
            place += 1
    return found, "\n".join(lines[place:])


def _person(text: str) -> tuple[str, str]:
    """Name and address, each of them something that git takes."""
    if found := _ADDRESS.fullmatch(text):
        name, address = found[1], found[2]
    elif text.rstrip().endswith(")") and "@" in text.partition("(")[0]:
        address, _, name = text.rstrip()[:-1].partition("(")
    else:
        name, address = ("", text) if "@" in text else (text, "")
    name = re.sub(r"\\(.)", r"\1", name.strip().strip('"'))
    name, address = (_line(part.replace("<", "").replace(">", "")).strip(_CRUD) for part in (name, address))
    return name or address or NOBODY, "".join(address.split()) or NOWHERE


def _line(text: str) -> str:
    """One line without controls."""
    return " ".join("".join(" " if ord(letter) < 32 or ord(letter) == 127 else letter for letter in text).split())


def _date(text: str) -> str:
    """``@SECONDS +HHMM``; empty for no date, and for one before 1970, which git cannot keep."""
    try:
        moment = parsedate_to_datetime(text)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        seconds, offset = int(moment.timestamp()), moment.utcoffset()
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return ""
    minutes = int(offset.total_seconds()) // 60 if offset else 0
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    return f"@{seconds} {zone}" if seconds >= 0 else ""
