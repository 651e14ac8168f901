"""The HTML report in a real browser: light and dark, on a phone and on a desk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iisan.efficiency.report import compare_outcomes, write_reports
from tests.made_up_measurements import failure, paper_like

sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
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


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    comparison = compare_outcomes([*paper_like(), failure()], setting={"Dataset": "shop"})
    return write_reports(comparison, tmp_path_factory.mktemp("report"))[-1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(params=[(scheme, width) for scheme in SCHEMES for width in WIDTHS], ids=str)
def page(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Any]:
    """The open page; whatever the browser complains about or asks the network for fails the test."""
    scheme, width = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, offline=True)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: complaints.append(asked.url) if asked.url != report.as_uri() else None)
    opened.goto(report.as_uri())
    opened.scheme = scheme
    yield opened
    context.close()
    assert complaints == []


def test_it_is_readable(page: Any) -> None:
    assert page.title() == "Adapting the encoders: 9 methods compared on shop"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(CROWDED) == []
    assert page.evaluate(FAINT) == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[page.scheme]


def test_plots_are_there_at_a_size_that_can_be_read(page: Any) -> None:
    boxes = page.evaluate("[...document.querySelectorAll('figure svg')].map(one => one.getBoundingClientRect().width)")
    letters = page.evaluate(
        "[...document.querySelectorAll('svg text')].map(one => parseFloat(getComputedStyle(one).fontSize)"
        " * Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b))"
    )
    assert len(boxes) == 12
    assert all(300 <= width <= 480 for width in boxes)
    assert min(letters) >= 8.5


def test_who_cannot_see_the_plots_is_told_and_finds_the_numbers(page: Any) -> None:
    names = page.get_by_role("img").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert len(names) == len(set(names)) == 12
    rows = page.get_by_role("table", name="Methods, lowest TPME first").get_by_role("rowheader").all_inner_texts()
    assert rows[:3] == ["id", "frozen", "iisan"]
    page.get_by_text("Numbers").first.click()
    assert page.get_by_role("table", name="Milliseconds of a step").is_visible()
