"""Text that came from elsewhere (a guest, a commit, a package, a file's name) made fit to be shown.

A terminal obeys escape sequences, a mail client header lines, a reader the direction marks of a script. What is shown
of foreign text passes through here; what is stored or parsed does not.
"""

import unicodedata

# Categories of Unicode that steer instead of being read: controls, invisible formatting, surrogates, line separators.
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_MORE = "... (cut)"


def printable(text: str, *, lines: bool = False, limit: int | None = None) -> str:
    r"""`text` with every character that steers instead of being read shown as its escape (``\x1b``, ``\u202e``).

    With `lines`, line feeds and tabs stay, and a carriage return before a line feed goes; else they are escaped too.
    At most `limit` characters come back, what was cut is said.
    """
    if lines:
        text = text.replace("\r\n", "\n")
    if limit is not None and len(text) > limit:
        text = text[: max(limit - len(_MORE), 0)] + _MORE
    if text.isascii() and text.isprintable():
        return text
    keep = "\n\t" if lines else ""
    return "".join(
        character if character in keep or unicodedata.category(character) not in _STEERING else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
