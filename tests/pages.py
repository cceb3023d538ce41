"""Pages of reports, read as a browser would, and what must hold for every one of them."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link"}
# SVG elements that the template closes by themselves.
SVG = {"line", "rect", "circle", "path"}


class Page(HTMLParser):
    """A page's tags, checked for balance, its ids, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self._seen(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG
        self._seen(tag, attrs)

    def _seen(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name == "href"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        # Cells stand apart.
        self.text += " " if tag in {"td", "th", "dt", "dd", "summary", "span", "p", "h3", "b"} else ""

    def handle_data(self, data):
        self.text += data


def sound(text: str) -> Page:
    """The page, after a look for what no page may have: anything outside of the file, and anything that runs."""
    found = Page(text)
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links), "nothing outside of the file"
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in {"src", "srcset"}]
    assert not re.search(r"url\(|@import|https?://", text)
    assert "nan" not in "".join(value or "" for name, value in found.attributes if name in {"x", "y", "cx", "cy", "d"})
    return found
