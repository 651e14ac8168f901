"""A new item from the page: drop a picture, give a title, see where it lands."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.serving.page.conftest import HASH, Open
from tests.serving.page.page_parts import found, search_field, strip
from tests.serving.running import Program, program

expect = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed").expect

TOKEN = "a-token-that-nobody-guesses"
DROP = """(bytes) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], 'lamp.png', { type: 'image/png' }));
  for (const name of ['dragover', 'drop'])
    document.body.dispatchEvent(new DragEvent(name, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def png() -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((40, 30)).save(stream, "PNG")
    return stream.getvalue()


def send(page: Any) -> None:
    page.get_by_role("button", name="Add to the catalogue").click()


def test_a_picture_dropped_anywhere_becomes_an_item(served: Program, visit: Open) -> None:
    page = visit(served.address, HASH).page
    expect(page.get_by_role("button", name="Add an item")).to_be_visible()
    page.evaluate(DROP, list(png()))
    dialog = page.get_by_role("dialog", name="Add an item")
    expect(dialog).to_contain_text("lamp.png")
    expect(dialog.get_by_label("Title", exact=True)).to_be_focused()
    assert dialog.locator(".zone img").evaluate("one => one.decode().then(() => one.naturalWidth)") == 40
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("A title is needed.")
    dialog.get_by_label("Title", exact=True).fill("Red whale lamp <b>bold</b>")
    page.keyboard.press("Enter")
    landed = page.get_by_role("dialog", name="In the catalogue")
    expect(landed).to_contain_text(re.compile(r"\d+(st|nd|rd|th) of 21 after the history"))
    expect(landed.locator(".neighbours li")).to_have_count(6)
    expect(landed).to_contain_text("<b>bold</b>")
    item_id = landed.locator(".subject .faint").inner_text()
    answer = httpx.get(f"{served.address}/items/{item_id}").raise_for_status().json()
    assert answer["title"] == "Red whale lamp <b>bold</b>"
    assert answer["recommendable"] is True
    size = Image.open(io.BytesIO(httpx.get(f"{served.address}{answer['picture']}").raise_for_status().content)).size
    assert size == (40, 30)
    page.keyboard.press("Escape")
    expect(page.get_by_role("application", name=re.compile("^Map of 24 items"))).to_be_visible()
    expect(page.locator(".callout")).to_contain_text("Red whale lamp")
    search_field(page).fill("red whale lamp")
    expect(found(page).first).to_contain_text("Red whale lamp")
    found(page).first.click()
    expect(strip(page)).to_have_count(4)
    assert httpx.delete(f"{served.address}/items/{item_id}").status_code == 204


def test_it_can_be_removed_again(served: Program, visit: Open) -> None:
    page = visit(served.address).page
    page.get_by_role("button", name="Add an item").click()
    page.get_by_label("Title", exact=True).fill("A short guest")
    send(page)
    landed = page.get_by_role("dialog", name="In the catalogue")
    expect(landed).to_contain_text("marked on the map")
    item_id = landed.locator(".subject .faint").inner_text()
    landed.get_by_role("button", name="Remove it again").click()
    expect(landed).to_be_hidden()
    expect(page.get_by_role("status")).to_contain_text("A short guest is removed")
    assert httpx.get(f"{served.address}/items/{item_id}").status_code == 404


def test_what_is_no_picture_is_refused_with_a_sentence(served: Program, visit: Open, tmp_path: Path) -> None:
    opened = visit(served.address)
    opened.expected = ["422"]
    page = opened.page
    false_picture = tmp_path / "false.png"
    false_picture.write_bytes(b"not a picture")
    page.get_by_role("button", name="Add an item").click()
    page.locator("#new-picture").set_input_files(false_picture)
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_contain_text("not a picture that the browser can show")
    page.get_by_label("Title", exact=True).fill("Nothing")
    send(page)
    expect(alert).to_contain_text("picture")
    expect(alert).not_to_contain_text("the browser")
    expect(page.get_by_label("Title", exact=True)).to_have_value("Nothing")


def test_a_service_with_a_token(browser: Any, own_model: Callable[[str], Path], places: list[str], visit: Open) -> None:
    with program(own_model("guarded"), *places, IISAN_TOKEN=TOKEN) as guarded:
        opened = visit(guarded.address)
        opened.expected = ["401"]
        page = opened.page
        page.get_by_role("button", name="Add an item").click()
        page.get_by_label("Title", exact=True).fill("Guarded lamp")
        page.get_by_label("Token").fill("a wrong one, guessed")
        send(page)
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("token is missing or wrong")
        expect(page.get_by_label("Token")).to_be_focused()
        page.get_by_label("Token").fill(TOKEN)
        send(page)
        expect(page.get_by_role("dialog", name="In the catalogue")).to_be_visible()
        page.get_by_role("button", name="Add another").click()
        expect(page.get_by_label("Token")).to_have_value(TOKEN)
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        assert TOKEN not in page.url
