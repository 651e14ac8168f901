"""The page when the service is gone, busy, or refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iisan.data.dataset import Dataset
from tests.serving.page.conftest import HASH, Open
from tests.serving.page.page_parts import cards, found, search_field, strip
from tests.serving.running import Program, program

expect = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed").expect


def answering(page: Any, pattern: str | re.Pattern[str], status: int, detail: str, times: int, **headers: str) -> None:
    """Has the next requests of a kind answered with a problem."""
    body = json.dumps({"type": "about:blank", "title": "x", "status": status, "detail": detail})
    headers = {"content-type": "application/problem+json", **headers}
    page.route(pattern, lambda route: route.fulfill(status=status, headers=headers, body=body), times=times)


def test_a_service_that_is_gone_and_comes_back(
    browser: Any, own_model: Callable[[str], Path], tiny_dataset: Dataset, visit: Open
) -> None:
    folder = own_model("stopped")
    with program(folder, "--dataset", str(tiny_dataset.path), "--read-only") as before:
        opened = visit(before.address, HASH)
        opened.expected = ["Failed to load resource"]
        page = opened.page
        expect(cards(page)).to_have_count(12)
        assert page.get_by_role("button", name="Add an item").count() == 0
        assert before.stop() == 0
        strip(page).first.get_by_role("button").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The service does not answer")
        expect(strip(page)).to_have_count(2)
        search_field(page).fill("red")
        expect(alert).to_have_count(2)
        alert.first.get_by_role("button", name="Try again").click()
        expect(alert.first.get_by_role("button", name="Try again")).to_be_visible()
        port = before.address.rpartition(":")[2]
    with program(folder, "--dataset", str(tiny_dataset.path), "--read-only", "--port", port) as after:
        assert after.address == before.address
        alert.first.get_by_role("button", name="Try again").click()
        expect(cards(page)).to_have_count(12)
        expect(found(page).first).to_contain_text("red")
        expect(alert).to_have_count(0)


def test_gone_from_the_start(served: Program, visit: Open) -> None:
    opened = visit(served.address)
    opened.expected = ["503"]
    page = opened.page
    answering(page, re.compile(r"/(about|items\?.*|map)$"), 503, "the model is being loaded", 2, **{"Retry-After": "1"})
    page.goto(f"{served.address}/?again{HASH}")
    expect(page.get_by_role("alert").first).to_contain_text("the model is being loaded")
    expect(cards(page)).to_have_count(12)
    expect(found(page).first).to_be_visible()


def test_a_busy_service_is_asked_again_by_itself(served: Program, visit: Open) -> None:
    opened = visit(served.address)
    opened.expected = ["503"]
    page = opened.page
    expect(found(page).first).to_be_visible()
    answering(page, "**/recommend", 503, "600 requests are in hand; ask again in a moment", 1, **{"Retry-After": "1"})
    found(page).first.click()
    expect(page.get_by_role("alert")).to_contain_text("600 requests are in hand")
    expect(cards(page)).to_have_count(12)


def test_what_the_service_refuses_is_said(served: Program, visit: Open) -> None:
    opened = visit(served.address, HASH)
    opened.expected = ["422"]
    page = opened.page
    expect(cards(page)).to_have_count(12)
    answering(page, "**/recommend", 422, "modalities of this model cannot be left out", 2)
    page.get_by_role("switch", name="Text").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("modalities of this model cannot be left out")
    alert.get_by_role("button", name="Switch everything on").click()
    expect(cards(page)).to_have_count(12)
    expect(page.get_by_role("switch", name="Text")).to_have_attribute("aria-checked", "true")


def test_waiting_for_a_modality_to_be_left_out(served: Program, visit: Open) -> None:
    opened = visit(served.address, HASH)
    opened.expected = ["503"]
    page = opened.page
    expect(cards(page)).to_have_count(12)
    answering(
        page, "**/recommend", 503, "the items are being read from text alone; ask again in a moment", 2,
        **{"Retry-After": "1"},
    )  # fmt: skip
    page.get_by_role("switch", name="Picture").click()
    expect(page.locator("#note")).to_contain_text("One moment: the items are being read from text alone.")
    assert page.get_by_role("alert").count() == 0
    expect(page.locator("#note")).to_contain_text("stay in the list")


def test_why_can_fail_and_be_tried_again(served: Program, visit: Open) -> None:
    opened = visit(served.address, HASH)
    opened.expected = ["500"]
    page = opened.page
    answering(page, "**/explain", 500, "the service has a bug; its log says more", 1)
    cards(page).first.get_by_role("button", name=re.compile("^Why")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("the service has a bug")
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog.get_by_role("row")).to_have_count(5)


def test_nothing_found(served: Program, visit: Open) -> None:
    page = visit(served.address).page
    search_field(page).fill("xylophone <i>")
    expect(page.get_by_text("No title has “xylophone <i>” in it.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(found(page).first).to_be_visible()


def test_a_history_with_everything(served: Program, visit: Open) -> None:
    page = visit(served.address, "#h=" + ",".join(f"i{row}" for row in range(24))).page
    expect(page.get_by_text("Nothing left to recommend")).to_be_visible()
