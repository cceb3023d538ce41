"""Jinja2 templates: domain XML, workloads, guest scripts, HTML; the only user of jinja2.

kab's own templates (``*.j2``) live beside what fills them, and are named by their place in the package
(``report/compare/page.html.j2``), or in ``harness/render/templates``. An undefined name is an error, never an empty
string. Whatever a page shows is text, and printable. Templates that a user names (of workloads) are rendered by
`harness.render.sandbox`.
"""

import shlex
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from harness.parse.foreign import printable

_HERE = Path(__file__).resolve().parent
_FOLDERS = (_HERE / "templates", _HERE.parent)


@cache
def _environment(*, page: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDERS),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(("html.j2", "xml.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown if page else None,
    )
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    return environment


def render(template: str, /, **values: Any) -> str:
    """Render `template` of our own templates, with strict names. What fails in one of them is a bug."""
    return _environment(page=template.endswith(".html.j2")).get_template(template).render(**values)


def _shown(value: Any) -> Any:
    """A value as a page shows it: foreign text in it steers nobody's eyes. Markup was made of such values."""
    return printable(value, lines=True) if isinstance(value, str) and not hasattr(value, "__html__") else value


class Fragment(str):
    """Part of a page that another page takes as it is: what it was filled with is escaped already."""

    __slots__ = ()

    def __html__(self) -> str:
        """As templates ask for it."""
        return str(self)


def fragment(template: str, /, **values: Any) -> Fragment:
    """As `render`, for a template of a part of a page."""
    return Fragment(render(template, **values))
