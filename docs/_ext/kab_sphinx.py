"""The Sphinx extension: fills what `kab_reference` makes into the pages that ask for it.

On a forge a page may link to any file of the source tree; the site has only its own pages, so there the path is shown.
"""

import re
from pathlib import Path

from kab_reference import filled
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_LINK = re.compile(r"\[([^\]\n]+)\]\((\.\.?/[^)\s#]+)(?:#[^)\s]*)?\)")


def without_links_out(page: str, folder: Path, site: Path) -> str:
    """`page`, which lies in `folder`, with links to files outside of `site` as text; what is not there stays a link."""

    def shown(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        if not target.exists() or target.is_relative_to(site):
            return link[0]
        return f"{link[1]} (`{target.relative_to(site.parent)}`)"

    return _LINK.sub(shown, page)


def _read(app: Sphinx, docname: str, content: list[str]) -> None:
    site = Path(app.srcdir).resolve()
    content[0] = without_links_out(filled(content[0]), (site / docname).parent, site)


def setup(app: Sphinx) -> ExtensionMetadata:
    """What Sphinx calls."""
    app.connect("source-read", _read)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
