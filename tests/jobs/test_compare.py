"""Methods measured side by side, each in a process of its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.compare import CompareJob, CompareOutcome, compare_methods
from tests.conftest import TinyModels
from tests.report_page import ARGUMENTS, CHROMIUM, SCHEMES, WIDTHS, assert_readable, opened

pytest.importorskip("matplotlib")
METHODS = ["lora", "iisan-uncached", "iisan", "id", "peft:adalora"]
MEASURED = set(METHODS) - {"peft:adalora"}


def job(dataset: Dataset, models: TinyModels, output: Path, **options: object) -> CompareJob:
    places = (f"text={models.text}", f"image={models.image}")
    settings = {"methods": METHODS, "epochs": 2, "batch_size": 16, "max_length": 5, "device": "cpu", "encoder": places}
    return CompareJob(dataset=dataset.path, output=output, **{**settings, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def compared(
    tiny_dataset: Dataset, tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CompareJob, CompareOutcome]:
    one = job(tiny_dataset, tiny_models, tmp_path_factory.mktemp("compared") / "out")
    return one, compare_methods(one)


def test_every_method_is_measured_and_a_failing_one_reported(compared: tuple[CompareJob, CompareOutcome]) -> None:
    comparison = compared[1].comparison
    assert {method.name for method in comparison.methods} == MEASURED
    (failure,) = comparison.failures
    assert failure.method == "peft:adalora"
    assert "total_step" in failure.reason
    for method in comparison.methods:
        one = method.measurement
        assert len(one.epochs) == 2
        assert one.peak_memory > 0
        assert 0 < one.parameters.trainable <= one.parameters.total
        for epoch in one.epochs:
            assert 0 < sum(epoch.phases.values()) <= epoch.seconds * 1.05
            assert min(epoch.phases[name] for name in ("forward", "backward", "update")) > 0
        assert set(one.test_metrics) >= {"HR@10", "NDCG@10"}


def test_sizes_and_costs_are_those_of_the_methods(compared: tuple[CompareJob, CompareOutcome]) -> None:
    by_name = {method.name: method.measurement for method in compared[1].comparison.methods}
    lora, iisan, uncached = by_name["lora"], by_name["iisan"], by_name["iisan-uncached"]
    frozen = uncached.parameters.total - uncached.parameters.trainable
    assert lora.parameters.total - lora.parameters.trainable == frozen > 0
    assert iisan.parameters.total == iisan.parameters.trainable == uncached.parameters.trainable
    assert iisan.encoding is not None
    assert iisan.encoding.seconds > 0
    assert lora.encoding is None
    assert set(iisan.gates) == {"intra", "inter"}
    assert [epoch.loss for epoch in iisan.epochs] == pytest.approx([epoch.loss for epoch in uncached.epochs], rel=1e-4)


def test_reports_are_written_and_agree(compared: tuple[CompareJob, CompareOutcome]) -> None:
    files = {path.name: path for path in compared[1].reports}
    assert set(files) == {"report.json", "report.csv", "report.md", "report.html"}
    data = json.loads(files["report.json"].read_text(encoding="utf-8"))
    rows = list(csv.DictReader(files["report.csv"].open(encoding="utf-8")))
    assert {row["method"] for row in rows} >= MEASURED
    assert {one["method"] for one in data["methods"]} == MEASURED


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_the_report_opens_in_a_browser(compared: tuple[CompareJob, CompareOutcome]) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    report = compared[1].reports[-1]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for scheme in SCHEMES:
            for width in WIDTHS:
                with opened(browser, report, scheme, width) as page:
                    assert_readable(page)
                    table = page.get_by_role("table", name="Methods, lowest TPME first")
                    rows = table.get_by_role("rowheader").all_inner_texts()
                    assert set(rows) == MEASURED
                    assert page.get_by_text("total_step").first.is_visible()
        browser.close()


def test_called_again_nothing_is_measured_anew(compared: tuple[CompareJob, CompareOutcome]) -> None:
    notes: dict[str, str] = {}
    again = compare_methods(
        compared[0].model_copy(update={"methods": sorted(MEASURED)}),
        lambda method, done, total, note: notes.update({method: note}),
    )
    assert notes == dict.fromkeys(MEASURED, "measured before")
    before = {method.name: method.measurement for method in compared[1].comparison.methods}
    assert {method.name: method.measurement for method in again.comparison.methods} == before


def test_a_budget_of_steps_scales_the_time_of_an_epoch(
    tiny_dataset: Dataset, tiny_models: TinyModels, tmp_path: Path
) -> None:
    outcome = compare_methods(job(tiny_dataset, tiny_models, tmp_path / "out", methods=["id"], steps=2))
    (method,) = outcome.comparison.methods
    (epoch,) = method.measurement.epochs
    assert epoch.steps == 2 < method.measurement.steps_per_epoch
    assert method.measurement.seconds_per_epoch() == [epoch.seconds * method.measurement.steps_per_epoch / 2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"methods": ["lora", "lora"]}, "named twice"),
        ({"methods": ["magic"]}, "no method 'magic'"),
        ({"methods": ["lora-uncached"]}, "no method 'lora-uncached'"),
        ({"weights": (0.5, 0.5, 0.5)}, "weights"),
        ({"weights": (float("nan"), 0.5, 0.5)}, "weights"),
        ({"dataset": Path("nowhere")}, "not a dataset"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    tiny_dataset: Dataset, tiny_models: TinyModels, tmp_path: Path, options: dict[str, object], said: str
) -> None:
    one = job(tiny_dataset, tiny_models, tmp_path / "out").model_copy(update=options)
    with pytest.raises(UserError, match=said):
        compare_methods(one)
    assert not (tmp_path / "out").exists()
