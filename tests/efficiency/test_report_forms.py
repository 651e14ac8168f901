"""The files of a report: each is read back and says what was compared."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from iisan.efficiency.measurement import EpochRecord, Measurement
from iisan.efficiency.report import Comparison, compare_outcomes, write_reports
from iisan.efficiency.report.csv_report import as_csv
from iisan.efficiency.report.html_report import as_html
from iisan.efficiency.report.json_report import as_json
from iisan.efficiency.report.markdown_report import as_markdown
from iisan.errors import UserError
from tests.made_up_measurements import failure, measurement, paper_like

METHODS = ("full", "lora", "frozen", "iisan-uncached", "iisan")
VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare_outcomes([*paper_like(*METHODS), failure()], setting={"Dataset": "shop & <co>"})


@pytest.fixture(scope="module")
def html(comparison: Comparison) -> str:
    return as_html(comparison)


def test_json_holds_the_measurements_themselves(comparison: Comparison) -> None:
    data = json.loads(as_json(comparison))
    assert data["verdict"] == comparison.verdict
    assert data["weights"] == {"time": 0.45, "parameters": 0.10, "memory": 0.45}
    assert [Measurement(**one["measurement"]) for one in data["methods"]] == [
        method.measurement for method in comparison.methods
    ]
    for one, method in zip(data["methods"], comparison.methods, strict=True):
        assert one["tpme"]["value"] == method.tpme.value == pytest.approx(sum(one["tpme"]["parts"].values()))
    assert data["failures"] == [failure().model_dump()]
    assert {(one["method"], one["against"]) for one in data["paybacks"]} == {
        (stored, other) for stored in ("frozen", "iisan") for other in ("full", "lora", "iisan-uncached")
    }


def test_json_of_a_training_that_diverged() -> None:
    record = EpochRecord(epoch=0, loss=math.nan, steps=1, seconds=1, phases={}, metrics={})
    diverged = measurement("full", seconds=(1.0,), trainable=1, memory=1).model_copy(update={"epochs": [record]})
    data = json.loads(as_json(compare_outcomes([diverged])), parse_constant=pytest.fail)
    assert data["methods"][0]["measurement"]["epochs"][0]["loss"] is None


def test_csv_has_a_line_for_each_method(comparison: Comparison) -> None:
    rows = list(csv.DictReader(as_csv(comparison).splitlines()))
    assert [row["method"] for row in rows] == [method.name for method in comparison.methods] + ["peft:vera"]
    for row, method in zip(rows, comparison.methods, strict=False):
        one = method.measurement
        assert float(row["tpme"]) == method.tpme.value
        assert float(row["seconds_per_epoch"]) == method.seconds
        assert int(row["trainable_parameters"]) == one.parameters.trainable
        assert int(row["peak_memory_bytes"]) == one.peak_memory
        assert float(row["test_HR@10"]) == one.test_metrics["HR@10"]
        assert float(row["forward_seconds_per_step"]) == pytest.approx(
            sum(record.phases["forward"] for record in one.epochs) / sum(record.steps for record in one.epochs)
        )
        assert (row["encoding_seconds"] == "") == (one.encoding is None)
    assert rows[-1]["tpme"] == ""
    assert rows[-1]["failure"].startswith("CUDA out of memory: tried <b>")
    assert rows[-1]["out_of_memory"] == "true"


def markdown_rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the table below a heading, as a Markdown reader sees them."""
    block = text.split(f"## {heading}\n\n")[1].split("\n\n")[0]
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
    return [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in line] for line in lines]


def test_markdown_tables_read_back(comparison: Comparison) -> None:
    text = as_markdown(comparison)
    head, rule, *rows = markdown_rows(text, "Methods, lowest TPME first")
    assert rule == [":---", *["---:"] * (len(head) - 1)]
    assert [row[0] for row in rows] == [method.name for method in comparison.methods]
    assert {len(row) for row in rows} == {len(head)}
    column = head.index("TPME")
    assert [row[column] for row in rows] == [f"{method.tpme.value:.3f}" for method in comparison.methods]
    failed = markdown_rows(text, "Not measured")[2:]
    assert failed == [["peft:vera", 'CUDA out of memory: tried <b>2.00 GiB</b> | *20 MiB* free & "more", $x$']]
    assert "<b>" not in text.replace("\\<b\\>", "")


class Outline(HTMLParser):
    """Checks that elements nest, that ids are there once and that links inside lead somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: set[str] = set()
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        for name, value in attrs:
            self._look_at(name, value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def _look_at(self, name: str, value: str) -> None:
        if name == "id":
            self.ids.append(value)
        self.targets |= set(re.findall(r"url\(#([^)]+)\)", value))
        if name in {"href", "src", "xlink:href"}:
            self.targets.add(value.removeprefix("#"))
            self.addresses.append(value)


def test_html_is_one_sound_page_that_needs_nothing_else(html: str) -> None:
    outline = Outline()
    outline.feed(html)
    outline.close()
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert outline.targets == set(outline.ids)
    assert all(address.startswith("#") for address in outline.addresses)
    assert not {"script", "link", "img", "iframe", "image"} & set(outline.seen)
    assert "http" not in html
    assert "@import" not in html
    assert html.count("<figure>") == html.count("<figcaption>") == html.count('role="img"') >= 11


def test_html_escapes_what_it_is_given(html: str) -> None:
    outline = Outline()
    outline.feed(html)
    words = " ".join(outline.text)
    assert 'CUDA out of memory: tried <b>2.00 GiB</b> | *20 MiB* free & "more", $x$' in words
    assert "shop & <co>" in words
    assert "b" not in outline.seen


def test_names_that_mean_something_to_the_plotter_stay_names() -> None:
    names = ["peft:$x$_^", "peft:<b>&", "peft:日本"]
    metrics = {"HR@10": 0.1}
    outcomes = [measurement(name, seconds=(1.0,), trainable=1, memory=1, test_metrics=metrics) for name in names]
    html = as_html(compare_outcomes(outcomes))
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", html)
    for name in ("peft:$x$_^", "peft:&lt;b&gt;&amp;", "peft:日本"):
        assert drawn.count(name) == 4  # TPME bars and three scatter plots


def test_all_forms_say_what_a_reader_must_know(comparison: Comparison, html: str) -> None:
    for text in (as_markdown(comparison).replace("\\", ""), html, as_json(comparison)):
        for fact in (
            "IISAN cached has the lowest TPME",
            "NVIDIA H100 80GB HBM3",
            "torch 2.13.0",
            "8 epochs a method",
            "64 users (iisan-uncached, iisan)",
            "CUDA allocator",
            "TPME depends on the set of methods compared",
            "do not include encoding the catalogue",
            "Lower is better",
        ):
            assert fact in text


def test_files_are_written_whole(comparison: Comparison, html: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    paths = write_reports(comparison, folder)
    assert [path.name for path in paths] == ["report.json", "report.csv", "report.md", "report.html"]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert (folder / "report.md").read_text(encoding="utf-8") == as_markdown(comparison)
    # The same comparison, drawn again, gives the same page.
    assert (folder / "report.html").read_text(encoding="utf-8") == html
    assert b"\r" not in (folder / "report.csv").read_bytes()


def test_a_folder_that_cannot_be_written_is_the_users_error(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"report\.json: the report cannot be written"):
        write_reports(comparison, tmp_path / "file")


def test_without_matplotlib_only_the_page_is_missing(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"matplotlib is not installed.*pip install 'iisan\[compare\]'"):
        write_reports(comparison, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.json", "report.md"]
