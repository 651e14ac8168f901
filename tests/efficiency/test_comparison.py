"""Numbers that follow from measurements, against hand-computed ones."""

from __future__ import annotations

import pytest

from iisan.efficiency.measurement import EncodingCost, EpochRecord, Measurement
from iisan.efficiency.report import Comparison, compare_outcomes
from iisan.efficiency.report.notes import notes
from iisan.efficiency.report.tables import comparison_tables, methods_table, payback_table
from iisan.efficiency.report.title import report_title
from iisan.errors import UserError
from tests.made_up_measurements import failure, measurement, paper_like

ENCODING = EncodingCost(seconds=100.0, items=50, measured_items=20)
# Seconds 100, 60, 20; parameters 50, 10, 30; memory 40, 20, 30: TPME 1, 0.225, 0.275.
FULL = measurement("full", seconds=(90.0, 110.0), trainable=50, memory=40)
LORA = measurement("lora", seconds=(60.0,), trainable=10, memory=20)
CACHED = measurement("iisan", seconds=(20.0,), trainable=30, memory=30, encoding=ENCODING)


def by_name(comparison: Comparison) -> dict[str, float]:
    return {method.name: method.tpme.value for method in comparison.methods}


def test_tpme_of_mean_epochs_sorted_with_its_parts() -> None:
    comparison = compare_outcomes([FULL, failure(), CACHED, LORA])
    assert [method.name for method in comparison.methods] == ["lora", "iisan", "full"]
    assert by_name(comparison) == pytest.approx({"lora": 0.225, "iisan": 0.275, "full": 1.0})
    lora, cached, full = comparison.methods
    assert lora.parts == pytest.approx((0.225, 0, 0))
    assert cached.parts == pytest.approx((0, 0.05, 0.225))
    assert full.parts == pytest.approx((0.45, 0.10, 0.45))
    assert full.seconds == 100
    assert comparison.failures == (failure(),)


def test_the_seconds_of_epochs_are_the_repeats() -> None:
    lora, cached, full = compare_outcomes([FULL, LORA, CACHED]).methods
    # Full's mean is drawn between 90 and 110 and stays the slowest; lora's place between 20 and it moves along.
    assert (full.tpme.low, full.tpme.high) == pytest.approx((1.0, 1.0))
    assert (cached.tpme.low, cached.tpme.high) == pytest.approx((0.275, 0.275))
    assert (lora.tpme.low, lora.tpme.high) == pytest.approx((0.45 * 40 / 90, 0.45 * 40 / 70))


def test_weights_are_the_users() -> None:
    comparison = compare_outcomes([FULL, LORA, CACHED], (0.2, 0.5, 0.3))
    assert by_name(comparison) == pytest.approx({"lora": 0.1, "iisan": 0.4, "full": 1.0})
    assert notes(comparison)[0].startswith("TPME adds 0.2 × training time, 0.5 × trainable parameters and 0.3 × peak")
    with pytest.raises(ValueError, match=r"sum to 0\.9"):
        compare_outcomes([FULL, LORA], (0.4, 0.1, 0.4))


def test_steps_are_scaled_to_whole_epochs() -> None:
    record = EpochRecord(epoch=0, loss=1.0, steps=4, seconds=2.0, phases={}, metrics={})
    short = LORA.model_copy(update={"epochs": [record], "steps_per_epoch": 10, "energy": 8.0})
    (method,) = compare_outcomes([short]).methods
    assert method.seconds == pytest.approx(5.0)
    assert method.joules == pytest.approx(20.0)
    comparison = compare_outcomes([short])
    assert not comparison.whole_epochs
    assert dict(comparison.setting)["Budget"].startswith(
        "1 epoch a method, of 4 steps instead of the 10 of a whole one"
    )
    assert any("Only some steps" in line for line in notes(comparison))


def test_encoding_is_paid_back_after_the_seconds_saved() -> None:
    slow = measurement("bitfit", seconds=(15.0,), trainable=1, memory=1)
    uncached = measurement("iisan-uncached", seconds=(70.0,), trainable=30, memory=30)
    ids = measurement("id", seconds=(90.0,), trainable=1, memory=1)
    found = {one.against: one for one in compare_outcomes([FULL, slow, CACHED, uncached, ids]).paybacks}
    # 100 seconds of encoding against 80 and 50 saved an epoch, and 5 lost.
    assert set(found) == {"full", "bitfit", "iisan-uncached"}
    assert (found["full"].saved, found["full"].epochs, found["full"].whole_epochs) == (80, 1.25, 2)
    assert (found["iisan-uncached"].epochs, found["iisan-uncached"].whole_epochs) == (2.0, 2)
    assert (found["bitfit"].saved, found["bitfit"].epochs, found["bitfit"].whole_epochs) == (-5, None, None)


def test_payback_table_has_a_row_for_each_method_that_runs_the_encoders() -> None:
    slow = measurement("bitfit", seconds=(15.0,), trainable=1, memory=1)
    table = payback_table(compare_outcomes([FULL, slow, CACHED]))
    assert set(table.rows) == {("full", "80.0", "1.2"), ("bitfit", "−5.00", "never")}


def test_the_verdict_says_plainly_who_is_lowest() -> None:
    assert compare_outcomes([FULL, LORA, CACHED]).verdict == (
        "IISAN cached does not have the lowest TPME of the adapted methods: IISAN cached 0.275, lora 0.225."
    )
    assert compare_outcomes([FULL, CACHED]).verdict == (
        "IISAN cached has the lowest TPME of the adapted methods: IISAN cached 0.000, full 1.000."
    )


def test_yardsticks_are_not_held_against_iisan() -> None:
    frozen = measurement("frozen", seconds=(1.0,), trainable=1, memory=1, encoding=ENCODING)
    ids = measurement("id", seconds=(1.0,), trainable=1, memory=1)
    assert compare_outcomes([frozen, ids, CACHED]).verdict is None
    assert compare_outcomes([frozen, FULL]).verdict is None
    other = measurement("peft:ia3", seconds=(1.0,), trainable=1, memory=1)
    assert "does not have" in (compare_outcomes([other, CACHED]).verdict or "")


def test_one_method_alone() -> None:
    comparison = compare_outcomes([CACHED])
    assert by_name(comparison) == {"iisan": 0.0}
    assert not comparison.has_repeats
    assert any("nothing to scale against" in line for line in notes(comparison))


def test_nothing_measured() -> None:
    comparison = compare_outcomes([failure()])
    assert (comparison.methods, comparison.verdict, comparison.setting) == ((), None, ())
    assert [table.title for table in comparison_tables(comparison)] == ["Not measured"]
    assert report_title(comparison) == "Adapting the encoders: no method measured"


def test_outcomes_must_be_one_for_each_method() -> None:
    for outcomes in ([], [FULL, FULL]):
        with pytest.raises(ValueError, match="one for each method"):
            compare_outcomes(outcomes)


@pytest.mark.parametrize("other", [{"device": "another CPU"}, {"memory_kind": "cuda_allocated"}])
def test_measurements_of_different_machines_are_refused(other: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"full .*, lora .*: the methods were measured .* different"):
        compare_outcomes([FULL, LORA.model_copy(update=other)])


def test_the_setting_names_what_the_numbers_rest_on() -> None:
    facts = dict(compare_outcomes(paper_like(), setting={"Dataset": "shop"}).setting)
    assert list(facts) == ["Dataset", "Machine", "Versions", "Budget", "Batch size", "Memory"]
    assert facts["Machine"] == "NVIDIA H100 80GB HBM3"
    assert "torch 2.13.0" in facts["Versions"]
    assert facts["Budget"] == "8 epochs a method"
    assert facts["Batch size"].endswith("64 users (iisan-uncached, iisan)")
    assert "CUDA allocator" in facts["Memory"]


def test_versions_that_differ_are_all_named() -> None:
    other = LORA.model_copy(update={"versions": {"torch": "2.12.0", "peft": "0.18"}})
    assert dict(compare_outcomes([FULL, other]).setting)["Versions"] == "torch 2.13.0 or 2.12.0, peft 0.18"


def test_quality_is_a_metric_that_all_methods_have() -> None:
    first: Measurement = FULL.model_copy(update={"test_metrics": {"NDCG@10": 0.1, "HR@10": 0.2, "HR@5": 0.1}})
    second = LORA.model_copy(update={"test_metrics": {"HR@10": 0.3, "NDCG@10": 0.2}})
    assert compare_outcomes([first, second]).metrics == ("HR@10", "NDCG@10")
    assert compare_outcomes([first, CACHED]).metric is None


def test_the_methods_table_in_readable_units() -> None:
    table = methods_table(compare_outcomes(paper_like("full", "iisan")))
    rows = [dict(zip((column.heading for column in table.columns), row, strict=True)) for row in table.rows]
    assert rows[0] == {
        "method": "iisan",
        "TPME": "0.000",
        "95 % interval": "0.000–0.000",
        "HR@10, %": "6.83",
        "NDCG@10, %": "3.76",
        "s an epoch": rows[0]["s an epoch"],
        "s of encoding, once": "61.5",
        "trainable parameters": "4,113,877",
        "peak memory, GiB": "3.10",
        "kJ an epoch": "6.72",
    }
    assert float(rows[0]["s an epoch"]) == pytest.approx(22.4, rel=0.03)
    assert rows[1]["s of encoding, once"] == "–"
