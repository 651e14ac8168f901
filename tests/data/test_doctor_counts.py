"""What the doctor counts in a log is what plain loops count."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.data import Dataset, DatasetContents, Interactions, global_time, write_dataset
from iisan.data.doctor import DoctorOptions, DoctorReport, examine
from iisan.data.doctor.leakage import examine_leakage
from iisan.data.interactions import log_order
from iisan.data.split import TargetPart

N_ITEMS = 5
START = 1_500_000_000


@dataclass(frozen=True)
class Row:
    user: int
    item: int
    time: int


LOGS = st.lists(
    st.builds(Row, st.integers(0, 4), st.integers(0, N_ITEMS - 1), st.integers(START, START + 12)),
    min_size=12,
    max_size=40,
)


def written(rows: list[Row], texts: list[str | None], folder: Path) -> Path:
    users = list(dict.fromkeys(row.user for row in rows))
    user = np.array([users.index(row.user) for row in rows], dtype=np.int64)
    time = np.array([row.time for row in rows], dtype=np.int64)
    order = log_order(user, time)
    item = np.array([row.item for row in rows], dtype=np.int64)
    contents = DatasetContents(
        name="made up",
        item_ids=[f"i{row}" for row in range(len(texts))],
        titles=[None] * len(texts),
        texts={"text": texts},
        images={},
        user_ids=[f"u{user}" for user in users],
        interactions=Interactions(user[order], item[order], time[order], None, len(users), len(texts)),
    )
    return write_dataset(contents, folder / "dataset").path


def examined(rows: list[Row], options: DoctorOptions, texts: list[str | None] | None = None) -> DoctorReport:
    folder = Path(tempfile.mkdtemp())
    try:
        texts = texts or [f"text {row}" for row in range(N_ITEMS)]
        return examine(written(rows, texts, folder), options)
    finally:
        shutil.rmtree(folder)


def histories(rows: list[Row]) -> list[list[Row]]:
    users = dict.fromkeys(row.user for row in rows)
    return [sorted((row for row in rows if row.user == user), key=lambda row: row.time) for user in users]


@given(rows=LOGS)
@settings(max_examples=40, deadline=None)
def test_ties_repeats_and_items(rows: list[Row]) -> None:
    report = examined(rows, DoctorOptions(min_interactions=4))
    at = Counter((row.user, row.time) for row in rows)
    assert report.named("tied_times").count == sum(count for count in at.values() if count > 1)
    assert report.named("repeated_interactions").count == len(rows) - len({(row.user, row.item) for row in rows})
    assert report.named("double_rows").count == len(rows) - len(set(rows))
    assert report.named("unused_items").count == N_ITEMS - len({row.item for row in rows})
    per_user = Counter(row.user for row in rows)
    short = [user for user, count in per_user.items() if count < 4]
    assert report.named("short_users").count == len(short)
    assert (
        f"with {sum(per_user[user] for user in short)} of {len(rows)} interactions" in report.named("short_users").what
    )
    most = Counter(row.item for row in rows).most_common(1)[0][1]
    assert report.named("popular_items").count == most


@dataclass(frozen=True)
class SlowSplit:
    train: list[Row]
    inputs: list[list[Row]]
    targets: list[Row]


def slow_leave_one_out(rows: list[Row], part: TargetPart, keep_last: int | None) -> SlowSplit:
    train: list[Row] = []
    inputs, targets = [], []
    for history in histories(rows):
        if len(history) >= 4:
            kept = history if keep_last is None else history[-keep_last:]
            train += kept[:-2]
            end = len(kept) - (1 if part == "test" else 2)
            inputs.append(kept[:end])
            targets.append(kept[end])
    return SlowSplit(train, inputs, targets)


@given(rows=LOGS, part=st.sampled_from(["valid", "test"]), keep_last=st.sampled_from([None, 3, 5]))
@settings(max_examples=60, deadline=None)
def test_targets_of_leave_one_out(rows: list[Row], part: TargetPart, keep_last: int | None) -> None:
    report = examined(rows, DoctorOptions(min_interactions=4, keep_last=keep_last))
    split = slow_leave_one_out(rows, part, keep_last)
    if not split.targets:
        assert report.named("impossible_split", "leave_one_out").severity == "error"
        return
    pairs = list(zip(split.inputs, split.targets, strict=True))
    trained = Counter(split.train)
    expected = {
        "repeated_targets": sum(target.item in {row.item for row in before} for before, target in pairs),
        "cold_targets": sum(target.item not in {row.item for row in split.train} for _, target in pairs),
        "targets_in_training": sum(trained[target] > 0 for _, target in pairs),
        "later_training": sum(any(row.time > target.time for row in split.train) for _, target in pairs),
    }
    assert {check: report.named(check, part).count for check in expected} == expected
    assert {report.named(check, part).total for check in expected} == {len(pairs)}


@given(rows=LOGS)
@settings(max_examples=60, deadline=None)
def test_a_split_by_time_never_learns_from_the_future(rows: list[Row]) -> None:
    options = DoctorOptions(split="global_time", min_interactions=1, valid_share=0.25, test_share=0.25)
    report = examined(rows, options)
    if report.named("impossible_split", "global_time").count:
        return
    for part in ("valid", "test"):
        assert report.named("later_training", part).severity == "ok"
        assert report.named("targets_in_training", part).severity == "ok"


def test_a_split_by_time_that_leaks_is_an_error(tmp_path: Path) -> None:
    rows = [Row(user, item, START + 10 * item + user) for user in range(3) for item in range(N_ITEMS)]
    report = examine(written(rows, [f"text {row}" for row in range(N_ITEMS)], tmp_path), DoctorOptions())
    log = Dataset.open(report.folder.path).interactions
    sound = global_time(log, min_interactions=1, valid_share=0.25, test_share=0.25)
    leaking = replace(sound, trained=np.ones(len(log), dtype=bool))
    for split, severity, count in ((sound, "ok", 0), (leaking, "error", 3)):
        in_training, later = examine_leakage(report.folder, log, split, "valid")
        assert (in_training.severity, later.severity) == (severity, severity)
        assert (in_training.count, later.count) == (count, count)


@given(texts=st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=N_ITEMS, max_size=12))
@settings(max_examples=30, deadline=None)
def test_duplicate_texts(texts: list[str | None]) -> None:
    rows = [Row(user, item, START + 10 * item) for user in range(3) for item in range(N_ITEMS)]
    report = examined(rows, DoctorOptions(), texts)
    counts = Counter(text for text in texts if text is not None)
    assert report.named("duplicate_texts", "text").count == sum(count for count in counts.values() if count > 1)
    assert report.named("lacking_modality", "text").count == texts.count(None)
    assert report.named("no_content").count == texts.count(None)


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("other", [10**-3, 10**3])
def test_another_unit_is_seen_in_any_unit(factor: int, other: float) -> None:
    rows = [Row(user, item, (START + 10 * item) * factor) for user in range(3) for item in range(N_ITEMS)]
    changed = [*rows[:-1], Row(2, 4, int(rows[-1].time * other))]
    if changed[-1].time >= 2**63:
        return
    report = examined(changed, DoctorOptions())
    found = report.named("mixed_units").count + report.named("early_times").count
    # Nanoseconds have no finer unit to be mistaken for; seconds no coarser one but what looks like 1970.
    assert found == (0 if (factor, other) == (10**9, 10**3) else 1)
    assert examined(rows, DoctorOptions()).ok


def test_steps_instead_of_dates_are_no_fault() -> None:
    rows = [Row(user, item, item) for user in range(3) for item in range(N_ITEMS)]
    report = examined(rows, DoctorOptions())
    assert {report.named(check).count for check in ("mixed_units", "early_times", "future_times")} == {0}
