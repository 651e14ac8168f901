"""The page of a real service in a real browser; whatever the browser complains about fails the test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from iisan.data.dataset import Dataset
from iisan.jobs.train import TrainOutcome
from tests.conftest import TinyModels
from tests.serving.running import Program, program

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 30_000
HISTORY = ["i1", "i2", "i4"]
HASH = "#h=" + ",".join(HISTORY)


@dataclass
class Visit:
    """An open page.

    Attributes:
        page: Of playwright.
        expected: Words of complaints that the test causes on purpose.
        complaints: What the browser said.
    """

    page: Any
    expected: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def complained(self, text: str) -> None:
        self.complaints.append(text)

    def check(self) -> None:
        unexpected = [one for one in self.complaints if not any(word in one for word in self.expected)]
        assert unexpected == []


Open = Callable[..., Visit]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program; tests are skipped where it, or what steers it, is not there."""
    pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    return CHROMIUM


# Closed after each file: playwright keeps an event loop running in this thread, and other tests run loops of their own.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright import sync_api

    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def own_model(trained: TrainOutcome, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Copies the trained model, as items are added to it."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(trained.folder, tmp_path_factory.mktemp(name) / "model"))

    return copy


@pytest.fixture(scope="session")
def places(tiny_models: TinyModels, tiny_dataset: Dataset) -> list[str]:
    """Options that say where dataset and encoders are."""
    encoders = [f"text={tiny_models.text}", f"image={tiny_models.image}"]
    return ["--dataset", str(tiny_dataset.path), *(word for one in encoders for word in ("--encoder", one))]


@pytest.fixture(scope="session")
def served(chromium: str, own_model: Callable[[str], Path], places: list[str]) -> Iterator[Program]:
    """``iisan serve`` as people start it."""
    with program(own_model("served"), *places) as started:
        yield started


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens pages; each in a browser that knows nothing of the others."""
    visits: list[Visit] = []

    def opened(address: str, anchor: str = "", *, width: int = 1280, height: int = 860, **options: Any) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE)
        one = Visit(context.new_page())
        visits.append(one)
        one.page.on("console", lambda message: one.complained(message.text))
        one.page.on("pageerror", lambda error: one.complained(str(error)))
        one.page.on(
            "request",
            lambda asked: None if asked.url.startswith((address, "blob:")) else one.complained(asked.url),
        )
        one.page.goto(f"{address}/{anchor}")
        return one

    yield opened
    for one in visits:
        one.page.context.close()
    for one in visits:
        one.check()
