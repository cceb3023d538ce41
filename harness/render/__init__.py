"""Jinja2 templates: domain XML, fio jobs, guest scripts, HTML; the only user of jinja2.

Templates live in ``harness/render/templates`` (``*.j2``); fio jobs live in ``configs/workloads``. An undefined name is
an error, never an empty string.
"""

import shlex
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from harness.errors import ConfigError


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(("html.j2", "xml.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    return environment


def render(template: str, /, *, folder: Path | None = None, **values: Any) -> str:
    """Render `template` of our own templates, or of `folder`, with strict names.

    Raises ConfigError when the template does not exist, is malformed or uses an undefined name.
    """
    root = folder or Path(__file__).resolve().parent / "templates"
    try:
        return _environment(root).get_template(template).render(**values)
    except jinja2.TemplateNotFound as error:
        raise ConfigError(f"no template {error.name} in {root}") from error
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{error.filename or template}:{error.lineno}: {error.message}") from error
    except jinja2.UndefinedError as error:
        raise ConfigError(f"template {template}: {error.message}") from error
