"""Jinja2 templates: domain XML, fio jobs, guest scripts, HTML; the only user of jinja2.

kab's own templates live in ``harness/render/templates`` (``*.j2``). An undefined name is an error, never an empty
string. Templates that a user names (fio jobs) are rendered by `harness.render.sandbox`.
"""

import shlex
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_TEMPLATES = Path(__file__).resolve().parent / "templates"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(("html.j2", "xml.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    return environment


def render(template: str, /, **values: Any) -> str:
    """Render `template` of our own templates, with strict names. What fails in one of them is a bug."""
    return _environment().get_template(template).render(**values)
