"""SVG to PNG, for mails and chats that show no SVG. The package is an extra: nothing else of kab needs it."""

from functools import cache

from harness.errors import ConfigError

FONTS = (
    "DejaVu Sans",
    "Liberation Sans",
    "Noto Sans",
    "Arial",
    "Helvetica",
    "FreeSans",
    "Roboto",
    "Ubuntu",
    "Cantarell",
)
"""Families to look for, in this order: a picture names them all. Text in a family that is not there is not drawn."""

_PROBE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20">'
    '<text x="2" y="15" font-size="14" font-family="{fonts}">{text}</text></svg>'
)


def to_png(svg: str, *, zoom: float = 2.0) -> bytes:
    """The picture as PNG, `zoom` pixels for each of its own.

    Raises ConfigError where the extra is not installed, or no font that could be drawn with is.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise ConfigError(
            "a PNG is drawn by the package resvg-py, which is not installed",
            remedy="Install it with `pip install 'kab[png]'`; pages (--html) need nothing.",
        ) from error
    if not _has_fonts():
        raise ConfigError(
            f"no font to draw with is installed: none of {', '.join(FONTS)}",
            remedy="Install one, such as Debian's package fonts-dejavu-core; pages (--html) need none.",
        )
    return resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom)


def font_families() -> str:
    """The value of an attribute `font-family`."""
    return ", ".join(FONTS)


@cache
def _has_fonts() -> bool:
    """Whether text is drawn at all."""
    import resvg_py

    drawn, blank = (
        resvg_py.svg_to_bytes(svg_string=_PROBE.format(fonts=font_families(), text=text)) for text in ("kab", "")
    )
    return drawn != blank
