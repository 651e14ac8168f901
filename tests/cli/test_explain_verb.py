"""``iisan explain``: text, JSON and HTML of a real model, and what may stand in a title."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from iisan.data.dataset import Dataset
from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommender
from tests.cli.conftest import Cli

HOSTILE = (
    "</style></title><script>document.title='taken'</script>\"'><img src=http://example.org/x onerror=alert(1)>&amp;"
)
COMMAND = "\x1b[31mred\x1b]0;title\x07[bold]:smile:"


class Tags(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def hostile(
    trained: TrainOutcome, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A model and a dataset whose titles and name are written by somebody who means harm."""
    root = tmp_path_factory.mktemp("hostile")
    model = Recommender.from_pretrained(trained.folder)
    assert model.item_table is not None
    model.item_table.titles = [HOSTILE if row % 2 else COMMAND for row in range(len(model.item_table))]
    model.save_pretrained(root / "model")
    shutil.copytree(tiny_dataset.path, root / "data")
    manifest = json.loads((root / "data" / "dataset.json").read_text())
    (root / "data" / "dataset.json").write_text(json.dumps({**manifest, "name": HOSTILE}))
    return root / "model", root / "data"


def test_text(cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path) -> None:
    words = ("explain", trained.folder, tiny_dataset.path, "--history", "i0 i1", "--k", 2, "--device", "cpu")
    result = cli(*words)
    assert result.code == 0
    for word in ("image", "text", "own vector", "interplay", "score", "what came before", "adds", "1. i0", "2. i1"):
        assert word in result.out
    assert "Share of each modality in the blocks that see all of them" in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= 80
    written = cli(*words, "--output", tmp_path / "new" / "e.txt")
    assert (written.code, written.out) == (0, "")
    assert "interplay" in (tmp_path / "new" / "e.txt").read_text(encoding="utf-8")


def test_json(cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset) -> None:
    words = ("explain", trained.folder, "--user", "u3", "--items", "i4 i9", "--format", "json", "--device", "cpu")
    result = cli(*words)
    assert result.code == 0
    data = json.loads(result.out)
    assert data["user_id"] == "u3"
    assert [item["item_id"] for item in data["items"]] == ["i4", "i9"]


def test_html_holds_titles_as_text_only(cli: Cli, hostile: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "e.html"
    words = ("explain", *hostile, "--history", "i0 i1 i5", "--k", 3, "--format", "html", "--device", "cpu")
    assert cli(*words, "--output", output).code == 0
    page = Tags(output.read_text(encoding="utf-8"))
    assert not {"script", "img", "link", "iframe", "a", "object"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "src"]
    assert HOSTILE in page.text
    policy = [one["content"] for tag, one in page.tags if tag == "meta" and "http-equiv" in one]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_text_sends_nothing_to_the_terminal(cli: Cli, hostile: tuple[Path, Path]) -> None:
    result = cli("explain", *hostile, "--history", "i0 i1", "--items", "i2", "--device", "cpu")
    assert result.code == 0
    assert "\x1b" not in result.out
    assert "\x07" not in result.out
    assert "[bold]:smile:" in result.out.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--history", "ghost"], "no known item"),
        (["--history", "i0", "--items", "ghost"], "item 'ghost' is not in the model's catalogue"),
        (["--user", "ghost"], "no user 'ghost'"),
        ([], "give either history or user"),
        (["--history", "i0", "--user", "u1"], "give either history or user"),
        (["--history", "i0", "--k", "0"], "option --k"),
        (["--history", "i0", "--states", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(
    cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset, words: list[str], message: str
) -> None:
    result = cli("explain", trained.folder, tiny_dataset.path, *words, "--device", "cpu")
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert len(result.error_lines) == 1
    assert result.out == ""


@pytest.fixture(params=[("light", 1280), ("dark", 390)], ids=str)
def page(request: pytest.FixtureRequest, cli: Cli, hostile: tuple[Path, Path], tmp_path: Path) -> Iterator[Any]:
    """The hostile page in a browser that is offline; whatever it complains about or asks for fails the test."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    output = tmp_path / "e.html"
    words = ("--history", "i0 i1 i5 i3 i8", "--k", 2, "--format", "html", "--device", "cpu", "--output", output)
    assert cli("explain", *hostile, *words).code == 0
    scheme, width = request.param
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        opened = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800}, offline=True)
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on(
            "request", lambda asked: complaints.append(asked.url) if asked.url[:5] not in ("file:", "data:") else 0
        )
        opened.goto(output.as_uri())
        yield opened
        browser.close()
    assert complaints == []


def test_it_is_readable_in_a_browser(page: Any) -> None:
    assert page.title() == f"Why this history gets these items of {HOSTILE}"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    sizes = page.evaluate(
        "Promise.all([...document.querySelectorAll('.picture:not(.none)')].map(one => { const image = new Image();"
        " image.src = getComputedStyle(one).backgroundImage.slice(5, -2);"
        " return image.decode().then(() => image.naturalWidth) }))"
    )
    assert len(sizes) > 5
    assert min(sizes) > 0
    bars = page.evaluate("[...document.querySelectorAll('.track b')].map(one => one.getBoundingClientRect().width)")
    assert min(bars) >= 1
