"""The map of the catalogue: what is marked, and moving on it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.serving.page.conftest import HASH, Open
from tests.serving.page.page_parts import strip
from tests.serving.running import Program

expect = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed").expect


def the_map(page: Any) -> Any:
    return page.get_by_role("application", name=re.compile("^Map of 23 items"))


def drawn(page: Any) -> str:
    """What the canvas shows."""
    page.wait_for_timeout(200)
    url: str = the_map(page).evaluate("one => one.toDataURL()")
    return url


def test_it_says_and_shows_what_is_marked(served: Program, visit: Open) -> None:
    page = visit(served.address, HASH).page
    expect(the_map(page)).to_have_accessible_name(
        "Map of 23 items. 3 items of the history and 12 recommendations are marked."
    )
    tones = page.evaluate(
        """() => {
          const canvas = document.querySelector('canvas');
          const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          const found = new Set();
          for (let at = 0; at < data.length; at += 4)
            if (data[at + 3] === 255) found.add(data.slice(at, at + 3).join());
          return [...found];
        }"""
    )
    assert {"31,93,88", "33,32,29"} <= set(tones)  # rings of what is recommended and of the history


def test_mouse(served: Program, visit: Open) -> None:
    page = visit(served.address, HASH).page
    expect(the_map(page)).to_be_visible()
    page.wait_for_load_state("networkidle")
    whole = drawn(page)
    box = the_map(page).bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 25, steps=4)
    page.mouse.up()
    moved = drawn(page)
    assert moved != whole
    page.get_by_role("button", name="Zoom in").click()
    assert drawn(page) != moved
    page.get_by_role("button", name="Show the whole map").click()
    page.mouse.move(1, 1)
    assert drawn(page) == whole


def test_a_click_on_a_recommendation_tells_and_adds(served: Program, visit: Open) -> None:
    page = visit(served.address, HASH).page
    the_map(page).focus()
    for _ in range(4):
        page.keyboard.press("n")
    callout = page.locator(".callout")
    expect(callout).to_contain_text("recommended 1st")
    place = callout.evaluate("one => one.style.transform")
    assert place.startswith("translate(")
    callout.get_by_role("button", name="Why").click()
    expect(page.get_by_role("dialog", name="Why this one")).to_contain_text("1st of 20")
    page.keyboard.press("Escape")
    callout.get_by_role("button", name="Add to the history").click()
    expect(strip(page)).to_have_count(4)
