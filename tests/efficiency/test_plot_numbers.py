"""What plots are drawn from, and which plots there are."""

from __future__ import annotations

import re

import pytest

from iisan.efficiency.measurement import EncodingCost, EpochRecord, Measurement
from iisan.efficiency.report import compare_outcomes
from iisan.efficiency.report.plots.draw import draw_plots
from iisan.efficiency.report.plots.plot import Plot
from iisan.efficiency.report.quantities import count_tick, memory_unit, significant, tick
from tests.made_up_measurements import measurement


def plots(*measured: Measurement) -> dict[str, Plot]:
    return {plot.title: plot for plot in draw_plots(compare_outcomes(measured))}


def trained(method: str, values: tuple[float, ...], **other: object) -> Measurement:
    """A method whose epochs take two seconds and end at some HR@10."""
    phases = {"data": 0.5, "forward": 0.2, "backward": 0.8, "update": 0.1}
    records = [
        EpochRecord(epoch=epoch, loss=1.0, steps=10, seconds=2.0, phases=phases, metrics={"HR@10": value})
        for epoch, value in enumerate(values)
    ]
    made = measurement(method, seconds=(1.0,), trainable=5, memory=7, test_metrics={"HR@10": values[-1]})
    return made.model_copy(update={"epochs": records, **other})


def test_phases_are_means_of_a_step_and_the_rest_is_shown() -> None:
    plot = plots(trained("lora", (0.1, 0.2)))["Where the time of a step goes"]
    assert plot.numbers is not None
    headings = [column.heading for column in plot.numbers.columns]
    assert headings == ["method", "data, ms", "forward, ms", "backward, ms", "update, ms", "rest, ms"]
    assert plot.numbers.rows == (("lora", "50.0", "20.0", "80.0", "10.0", "40.0"),)
    assert ">200 ms</text>" in plot.svg


def test_curves_go_by_epochs_from_one_and_by_seconds_so_far() -> None:
    found = plots(trained("lora", (0.1, 0.25)), trained("iisan", (0.3,)))
    plot = found["Learning curves by epoch"]
    assert plot.numbers is not None
    assert set(plot.numbers.rows) == {
        ("lora", "1", "2.00", "10.00"),
        ("lora", "2", "4.00", "25.00"),
        ("iisan", "1", "2.00", "30.00"),
    }
    assert "Learning curves by time" in found


def test_epochs_without_validation_leave_gaps() -> None:
    whole = trained("lora", (0.1, 0.2, 0.3))
    sparse = [record if record.epoch != 1 else record.model_copy(update={"metrics": {}}) for record in whole.epochs]
    plot = plots(whole.model_copy(update={"epochs": sparse}))["Learning curves by epoch"]
    assert plot.numbers is not None
    assert [row[1:] for row in plot.numbers.rows] == [("1", "2.00", "10.00"), ("3", "6.00", "30.00")]


def test_only_what_was_measured_is_drawn() -> None:
    bare = [measurement(method, seconds=(1.0,), trainable=1, memory=1) for method in ("full", "lora")]
    assert set(plots(*bare)) == {"TPME"}
    assert set(plots(bare[0])) == set()
    cost = EncodingCost(seconds=3.0, items=10, measured_items=10)
    cached = measurement("iisan", seconds=(0.5,), trainable=1, memory=1, encoding=cost)
    assert set(plots(*bare, cached)) == {"TPME", "Time with encoding"}
    assert set(plots(trained("full", (0.1,)), trained("lora", (0.2,)))) == {
        "TPME",
        "Where the time of a step goes",
        "Quality against time",
        "Quality against memory",
        "Quality against trainable parameters",
        "Learning curves by epoch",
        "Learning curves by time",
    }


def test_every_colour_is_the_pages() -> None:
    for plot in plots(trained("full", (0.1,)), trained("peft:ia3", (0.2,))).values():
        assert re.findall(r"#[0-9a-f]{6}", plot.svg) == []
        assert "font-family" not in plot.svg
        assert "var(--ink)" in plot.svg


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (443.2, "443"), (22.14, "22.1"), (0.01536, "0.0154"), (12076, "12,076"), (9.999, "10.0"), (1, "1.00")],
)
def test_significant_digits(value: float, words: str) -> None:
    assert significant(value) == words


def test_ticks_and_units() -> None:
    assert [tick(value) for value in (0.0, 0.5, 10.0, 3000.0)] == ["0", "0.5", "10", "3,000"]
    assert [count_tick(value) for value in (0.0, 500.0, 2e4, 5e6, 1e9)] == ["0", "500", "20 k", "5 M", "1 B"]
    assert [memory_unit(value)[0] for value in (100, 2**20, 2**30)] == ["KiB", "MiB", "GiB"]
