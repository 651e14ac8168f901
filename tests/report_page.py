"""A report opened in a real browser, and what makes it hard to read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")

# Letters in each drawing that share area, by more than their boxes are larger than they, and those that are cut off.
CROWDED = """() => {
  const found = [];
  for (const svg of document.querySelectorAll('svg')) {
    const name = svg.getAttribute('aria-label'), frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([one, a], place) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1)
        found.push(`${name}: ${one} is cut off`);
      for (const [other, b] of texts.slice(place + 1)) {
        const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (width > 1.5 && height > 3) found.push(`${name}: ${one} over ${other}`);
      }
    });
  }
  return found;
}"""
# Contrast of every text with what is behind it, after WCAG; letters on bars are looked at with the palette.
FAINT = """() => {
  const light = code => { const [r, g, b] = code.match(/\\d+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const page = getComputedStyle(document.body).backgroundColor;
  const of = element => getComputedStyle(element)[element instanceof SVGElement ? 'fill' : 'color'];
  const ratio = element => { const [a, b] = [light(of(element)), light(page)].sort((x, y) => x - y);
    return (b + 0.05) / (a + 0.05); };
  return [...document.querySelectorAll('h1,h2,h3,p,li,th,td,dt,dd,figcaption,summary,svg text')]
    .filter(element => of(element) !== page && ratio(element) < 4.5).map(element => element.textContent);
}"""


@contextmanager
def opened(browser: Any, report: Path, scheme: str, width: int) -> Iterator[Any]:
    """The open page; whatever the browser complains about or asks the network for fails the test."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, offline=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url != report.as_uri() else None)
    page.goto(report.as_uri())
    yield page
    context.close()
    assert complaints == []


def assert_readable(page: Any) -> None:
    """No sideways scrolling, no letters over letters or cut off, and contrast enough."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(CROWDED) == []
    assert page.evaluate(FAINT) == []
