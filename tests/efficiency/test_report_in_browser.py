"""The HTML report in a real browser: light and dark, on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iisan.efficiency.report import compare_outcomes, write_reports
from tests.made_up_measurements import failure, paper_like
from tests.report_page import ARGUMENTS, CHROMIUM, SCHEMES, WIDTHS, assert_readable, opened

sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    comparison = compare_outcomes([*paper_like(), failure()], setting={"Dataset": "shop"})
    return write_reports(comparison, tmp_path_factory.mktemp("report"))[-1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(params=[(scheme, width) for scheme in SCHEMES for width in WIDTHS], ids=str)
def page(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Any]:
    scheme, width = request.param
    with opened(browser, report, scheme, width) as page:
        page.scheme = scheme
        yield page


def test_it_is_readable(page: Any) -> None:
    assert page.title() == "Adapting the encoders: 9 methods compared on shop"
    assert_readable(page)
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
