"""To whom a mail for the list goes, as headers that a mail program takes."""

import re

from harness.model.source import Commit
from harness.parse.foreign import printable

_REGRESSIONS = "regressions@lists.linux.dev"
_STABLE = "stable@vger.kernel.org"
_PERSON = re.compile(r"([^<>]*)<([^<>]+)>[^<>]*")
# What an address may not hold without quotes; a header would end in it, or name somebody else.
_NO_ADDRESS = re.compile(r'[\s<>(),;:\\"\[\]]')
# What a name may not hold without quotes (RFC 5322, 3.2.3).
_SPECIAL = re.compile(r'[()<>\[\]:;@\\,."]')


def recipients(culprit: Commit, *, lost: bool) -> list[str]:
    """Header lines: To the author; Cc who signed it off and, where speed was `lost`, the lists for regressions.

    The list for stable kernels is among them where the commit was meant for those, or came from them.
    """
    to = address(culprit.author, culprit.email)
    signers = (_PERSON.fullmatch(signer) for signer in culprit.signers)
    people = [found.groups() for found in signers if found and found[2].strip().lower() != culprit.email.lower()]
    copies = [text for name, email in people if (text := address(name, email))]
    if lost:
        copies += [_REGRESSIONS, *([_STABLE] if culprit.stable else [])]
    lines = [f"To: {to}"] if to else []
    return lines + _folded("Cc", list(dict.fromkeys(copies)))


def address(name: str, email: str) -> str:
    """``"Last, First" <EMAIL>``, the name quoted where it must be; empty for what is no address."""
    name, email = printable(name.strip()), email.strip()
    if not email or _NO_ADDRESS.search(email) or printable(email) != email:
        return ""
    if _SPECIAL.search(name):
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        name = f'"{escaped}"'
    return f"{name} <{email}>".strip()


def _folded(header: str, values: list[str]) -> list[str]:
    """One header over as many lines as values."""
    return [
        f"{f'{header}:' if place == 0 else ''} {value}{',' if place < len(values) - 1 else ''}"
        for place, value in enumerate(values)
    ]
