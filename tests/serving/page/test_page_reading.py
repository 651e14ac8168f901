"""The page as it is read: sizes, contrast, names, and texts that mean harm."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iisan.data.dataset import Dataset
from iisan.models.recommender import Recommender
from iisan.serving.page_files import FOLDER
from tests.serving.page.conftest import HASH, Open
from tests.serving.page.page_parts import cards, strip
from tests.serving.running import Program, running

HOSTILE = "</title><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">&amp;"

READABLE = Path(__file__).with_name("readable.js").read_text(encoding="utf-8")
FINE: dict[str, list[str]] = {"faint": [], "small": [], "nameless": [], "wide": []}


def sound(page: Any) -> None:
    assert page.evaluate(READABLE) == FINE


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1280])
def test_every_state_is_readable(served: Program, visit: Open, scheme: str, width: int) -> None:
    options = {"has_touch": True, "is_mobile": True} if width < 400 else {}
    page = visit(served.address, width=width, color_scheme=scheme, reduced_motion="reduce", **options).page
    page.get_by_text("What would somebody want next?").wait_for()
    sound(page)
    page.goto(f"{served.address}/?list{HASH}")
    cards(page).first.wait_for()
    page.get_by_role("switch", name="Picture").click()
    page.get_by_text("stay in the list").wait_for()
    sound(page)
    cards(page).first.get_by_role("button", name=re.compile("^Why")).click()
    page.get_by_role("row").first.wait_for()
    page.get_by_text("How to read it").click()
    sound(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add an item").click()
    page.get_by_role("button", name="Add to the catalogue").click()
    page.get_by_text("A title is needed.").wait_for()
    sound(page)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(247, 246, 243)", "dark": "rgb(21, 22, 24)"}[scheme]


def test_nothing_moves_for_those_who_do_not_want_it(served: Program, visit: Open) -> None:
    page = visit(served.address, HASH, reduced_motion="reduce").page
    cards(page).first.wait_for()
    page.evaluate("() => { globalThis.moved = 0; Element.prototype.animate = () => { globalThis.moved += 1; }; }")
    page.get_by_role("switch", name="Picture").click()
    page.get_by_text("stay in the list").wait_for()
    assert page.evaluate("globalThis.moved") == 0
    assert page.evaluate("document.getAnimations().length") == 0


def test_titles_are_text(own_model: Callable[[str], Path], tiny_dataset: Dataset, visit: Open, browser: Any) -> None:
    folder = own_model("hostile")
    model = Recommender.from_pretrained(folder)
    model.table.titles = [f"{row} {HOSTILE}" for row in range(len(model.table))]
    model.save_pretrained(folder)
    with running(folder, dataset=tiny_dataset.path, read_only=True) as served:
        page = visit(str(served.client.base_url).rstrip("/"), HASH).page
        cards(page).first.get_by_role("button", name=re.compile("^Why")).click()
        page.locator(".influence-title").first.wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("application").focus()
        page.keyboard.press("n")
        assert HOSTILE in page.locator(".callout-title").inner_text()
        assert strip(page).first.get_attribute("title").endswith(HOSTILE)
        assert page.title() == "tiny · iisan"
        assert page.locator("main script, main img[onerror]").count() == 0


def test_the_files_need_nothing_from_elsewhere_and_nothing_inline() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    index = files["index.html"]
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", index)
    for name, text in files.items():
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == [], name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text), (
            name
        )
    for name in re.findall(r'(?:href|src)="page/([^"]+)"', index):
        assert name in files
    for name, text in files.items():
        if name.endswith(".js"):
            assert all(other in files for other in re.findall(r'from "\./([^"]+)"', text)), name
