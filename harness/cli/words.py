"""The words of a command line, and of the environment, before anybody reads them."""

from collections.abc import Mapping, Sequence

from harness.errors import ConfigError
from harness.parse.foreign import printable

_OURS = "KAB_"


def check_words(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise ConfigError for a word, or a variable of kab's own, that is not UTF-8.

    Results, reports and the database are UTF-8, so that such a name could not be told again.
    """
    for place, word in enumerate(argv, 1):
        if not _is_utf8(word):
            raise ConfigError(f"word {place} of the command line is not UTF-8: {_shown(word)}", remedy=_REMEDY)
    for name, value in environment.items():
        if name.startswith(_OURS) and not _is_utf8(value):
            raise ConfigError(f"the variable {name} is not UTF-8: {_shown(value)}", remedy=_REMEDY)


_REMEDY = "Rename the file, or give it a link with a name in UTF-8."


def _is_utf8(text: str) -> bool:
    # Python keeps a byte that it could not decode as a lone surrogate.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:

    return printable(text, limit=80)
