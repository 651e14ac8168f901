"""The page: search, pick, read, ask why, leave something out, share."""

from __future__ import annotations

import io
import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests.serving.page.conftest import HASH, HISTORY, Open
from tests.serving.page.page_parts import cards, found, listed_ids, search_field, strip, wait_for_list
from tests.serving.running import Program

expect = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed").expect


def ask(served: Program, history: list[str], modalities: list[str] | None = None) -> list[str]:
    body = {"history": history, "k": 12, "modalities": modalities}
    answer = httpx.post(f"{served.address}/recommend", json=body).raise_for_status().json()
    return [one["item_id"] for one in answer["items"]]


def test_search_pick_and_read(served: Program, visit: Open) -> None:
    page = visit(served.address).page
    expect(page.get_by_role("heading", level=1)).to_have_text("tiny")
    expect(page.get_by_text("What would somebody want next?")).to_be_visible()
    search_field(page).fill("whale")
    expect(page.get_by_role("status")).to_contain_text("found")
    title = found(page).first.inner_text()
    assert "whale" in title
    found(page).first.click()
    expect(found(page).first).to_have_attribute("aria-pressed", "true")
    expect(strip(page)).to_have_count(1)
    expect(strip(page).first).to_contain_text(title)
    expect(cards(page)).to_have_count(12)
    expect(page.get_by_role("status")).to_contain_text("12 recommendations")
    first = cards(page).first
    tile = "" if first.locator("img").count() else r"[A-Z0-9]{1,2}\n"
    assert re.search(rf"^{tile}1\n", first.inner_text())
    assert re.search(r"−?\d+\.\d\d", first.inner_text())
    name = listed_ids(page)[0]
    first.get_by_role("button", name="add to the history").click()
    expect(strip(page)).to_have_count(2)
    picked = urlsplit(page.url).fragment.removeprefix("h=").split(",")
    assert picked[1] == name
    wait_for_list(page, ask(served, picked))


def test_pictures_are_those_of_the_items_and_others_have_a_tile(served: Program, visit: Open) -> None:
    page = visit(served.address, "#h=i3,i1").page
    expect(strip(page)).to_have_count(2)
    without, with_one = strip(page).all()
    assert without.locator("img").count() == 0
    assert re.fullmatch(r"[A-Z0-9]{1,2}", without.locator(".tile").inner_text())
    image = with_one.locator("img")
    image.evaluate("one => one.decode()")
    source = httpx.get(image.get_attribute("src")).raise_for_status()
    assert Image.open(io.BytesIO(source.content)).size == tuple(
        image.evaluate("one => [one.naturalWidth, one.naturalHeight]")
    )


def test_a_link_brings_the_history_back_and_back_undoes(served: Program, visit: Open) -> None:
    page = visit(served.address, HASH).page
    expect(strip(page)).to_have_count(3)
    expect(cards(page)).to_have_count(12)
    assert listed_ids(page) == ask(served, HISTORY)
    strip(page).nth(1).get_by_role("button", name=re.compile("out of the history")).click()
    expect(strip(page)).to_have_count(2)
    assert page.url.endswith("#h=i1,i4")
    page.go_back()
    expect(strip(page)).to_have_count(3)
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Nothing picked yet")).to_be_visible()
    assert "#" not in page.url


def test_items_of_a_link_that_are_not_there_are_left_out(served: Program, visit: Open) -> None:
    opened = visit(served.address, "#h=i1,ghost%2F%3Cb%3E,i4&off=nothing")
    opened.expected = ["404"]
    expect(opened.page.get_by_role("status")).to_contain_text("1 item of the link is not in this catalogue")
    expect(strip(opened.page)).to_have_count(2)


def test_why(served: Program, visit: Open) -> None:
    page = visit(served.address, HASH).page
    button = cards(page).nth(1).get_by_role("button", name=re.compile("^Why"))
    button.click()
    dialog = page.get_by_role("dialog", name="Why this one")
    rows = dialog.get_by_role("row")
    expect(rows).to_have_count(5)
    names = [row.get_by_role("rowheader").inner_text() for row in rows.all()[1:]]
    picture = "Picture" if cards(page).nth(1).locator("img").count() else "Picture it has none"
    assert names == [picture, "Text", "What people did", "Their interplay"]
    shares = [int(re.search(r"(\d+) %", row.inner_text())[1]) for row in rows.all()[1:]]  # type: ignore[index]
    assert 97 <= sum(shares) <= 103
    body = {"history": HISTORY, "item_ids": [listed_ids(page)[1]]}
    told = httpx.post(f"{served.address}/explain", json=body).raise_for_status().json()["items"][0]
    parts = told["of_item"]
    expected = [*(part["share"] for part in parts["parts"]), parts["interplay_share"]]
    assert shares == pytest.approx([100 * share for share in expected], abs=1)  # "<1 %" is read as 1
    widths = dialog.locator(".shares span").evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    assert widths == pytest.approx([sum(widths) * share for share in expected if share > 0], abs=5)
    strongest = sorted(told["history"], key=lambda one: -abs(one["drop"]))
    titles = dialog.locator(".influence-title").all_inner_texts()
    assert titles == [one["title"] or one["item_id"] for one in strongest]
    expect(dialog).to_contain_text("2nd of 20")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_a_modality_switched_off_changes_the_list(served: Program, visit: Open) -> None:
    page = visit(served.address, HASH).page
    expect(cards(page)).to_have_count(12)
    picture, text = page.get_by_role("switch", name="Picture"), page.get_by_role("switch", name="Text")
    picture.click()
    expect(page.get_by_text(re.compile(r"Without the picture, \d+ of 12 stay in the list"))).to_be_visible()
    expect(picture).to_have_attribute("aria-checked", "false")
    with_everything, with_text = ask(served, HISTORY), ask(served, HISTORY, ["text"])
    assert listed_ids(page) == with_text != with_everything
    moved = with_text[0]
    place = ask_many(served).index(moved)
    assert cards(page).first.locator(".move").text_content() == (f"up {place}" if place else "= same place")
    assert page.url.endswith("&off=image")
    text.click(force=True)  # it says that it is held
    expect(text).to_have_attribute("aria-checked", "true")
    expect(page.get_by_role("status")).to_contain_text("At least one stays on")
    picture.click()
    wait_for_list(page, with_everything)


def ask_many(served: Program) -> list[str]:
    answer = httpx.post(f"{served.address}/recommend", json={"history": HISTORY, "k": 100}).raise_for_status().json()
    return [one["item_id"] for one in answer["items"]]


def test_the_example_fills_the_history(served: Program, visit: Open) -> None:
    page = visit(served.address).page
    page.get_by_role("button", name="Try an example").click()
    expect(strip(page)).to_have_count(3)
    expect(cards(page)).to_have_count(12)


def test_with_the_keyboard_alone(served: Program, visit: Open) -> None:
    page = visit(served.address).page
    expect(found(page).first).to_be_visible()
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the recommendations")).to_be_focused()
    press("/")
    expect(search_field(page)).to_be_focused()
    page.keyboard.type("train")
    expect(page.get_by_text(re.compile(r"\d+ found"))).to_be_visible()
    press("ArrowDown")
    press("Enter")
    expect(strip(page)).to_have_count(1)
    press("ArrowRight")
    press("Space")
    expect(strip(page)).to_have_count(2)
    expect(cards(page)).to_have_count(12)
    for _ in range(60):
        press("Tab")
        if focused(page).startswith("Why"):
            break
    assert outlined(page)
    press("Enter")
    expect(page.get_by_role("dialog", name="Why this one")).to_be_visible()
    press("Escape")
    assert focused(page).startswith("Why")
    press("Shift+Tab")
    press("Enter")
    expect(strip(page)).to_have_count(3)
    page.wait_for_function("document.activeElement.closest('#list') !== null")
    page.get_by_role("application", name=re.compile("^Map")).focus()
    before = page.get_by_role("application").evaluate("one => one.toDataURL()")
    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        press(key)
    page.wait_for_timeout(200)
    assert page.get_by_role("application").evaluate("one => one.toDataURL()") != before
    press("n")
    expect(page.get_by_role("status")).to_contain_text("in the history")
    for _ in range(3):
        press("n")
    expect(page.get_by_role("status")).to_contain_text("recommended 1st")
    press("Enter")
    expect(strip(page)).to_have_count(4)


def focused(page: Any) -> str:
    text: str = page.evaluate("document.activeElement.textContent.trim()")
    return text


def outlined(page: Any) -> bool:
    width: str = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    return float(width.removesuffix("px")) >= 2
