"""Pages as a browser shows them: a headless Chromium lays them out and tells what a reader would trip over."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pytest

CHROMIUM = next(
    (
        found
        for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
WIDTHS = (390, 1280)
"""A phone, and a screen."""

# In a copy of the page: opens what is folded, and writes what is wrong where --dump-dom shows it.
_LOOK = (Path(__file__).parent / "browser.js").read_text()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is wrong with a page at a width, by kind; nothing is."""

    width: int
    dark: bool
    texts: int
    overflow: tuple[str, ...]
    overlap: tuple[str, ...]
    cut: tuple[str, ...]
    contrast: tuple[str, ...]

    @property
    def faults(self) -> dict[str, tuple[str, ...]]:
        """Kind -> what is wrong, the kinds that have any."""
        kinds = {"overflow": self.overflow, "overlap": self.overlap, "cut": self.cut, "contrast": self.contrast}
        return {kind: found[:12] for kind, found in kinds.items() if found}


def look_at(page: Path, folder: Path, *, width: int, dark: bool = False) -> Look:
    """Lay `page` out `width` pixels wide, all that is folded opened, in a copy in `folder`. Skips without Chromium."""
    text = page.read_text()
    assert "<script" not in text.lower(), "a page is whole without JavaScript"
    # What the page forbids is the measuring, too.
    text, allowed = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert allowed == 1
    copy = folder / f"{page.stem}-{width}-{'dark' if dark else 'light'}.html"
    text = text.replace("</body>", f"<script>{_LOOK}</script></body>")
    # In a frame: a window is never narrower than 500 pixels.
    copy.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f'<iframe width="{width}" height="1000" style="border: 0" srcdoc="{escape(text)}"></iframe>'
    )
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = _run(copy, folder, "--window-size=1400,1100", "--virtual-time-budget=3000", scheme, "--dump-dom")
    found = re.search(r'<pre id="kab-looked">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    told = json.loads(
        found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\xa0").replace("&amp;", "&")
    )
    assert (told["width"], told["dark"]) == (width, dark), told["width"]
    kinds = ("overflow", "overlap", "cut", "contrast")
    return Look(width=width, dark=dark, texts=told["texts"], **{kind: tuple(told[kind]) for kind in kinds})


def sheets(page: Path, folder: Path) -> int:
    """Sheets of paper that `page` is printed on."""
    printed = folder / "printed.pdf"
    _run(page, folder, f"--print-to-pdf={printed}", "--no-pdf-header-footer")
    return len(re.findall(rb"/Type\s*/Page[^s]", printed.read_bytes()))


def _run(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    plain = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
    words = [CHROMIUM, *plain, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
