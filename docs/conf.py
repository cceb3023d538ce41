"""The site: Markdown by MyST, in furo; reference pages are filled from the code (`_ext/kab_reference.py`)."""

import sys
from pathlib import Path

from harness import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "kab"
author = "The kab developers"
copyright = "The kab developers, GPL-2.0-or-later"  # noqa: A001 - Sphinx's name for it
version = release = __version__

extensions = ["myst_parser", "kab_sphinx"]
exclude_patterns = ["_ext"]
root_doc = "index"
nitpicky = True

myst_enable_extensions = ["deflist"]
# Links to headings of other pages, as a forge makes them.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"kab {__version__}"
html_static_path = ["_static"]
html_css_files = ["kab.css"]
html_copy_source = False
html_show_sphinx = False
# Code blocks without a language are output and commands, not Python.
highlight_language = "text"
