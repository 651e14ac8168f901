"""`iisan doctor` on a dataset with each fault planted: it names the fault, nothing else, and gives the exit code."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import iisan
from iisan.data.doctor import examine
from iisan.data.doctor.pictures import FAULTS as FAULTS_OF_PICTURES
from tests.cli.conftest import Cli
from tests.sound_shop import (
    N_EACH,
    N_ITEMS,
    N_USERS,
    START,
    edit_manifest,
    set_column,
    set_values,
    sound_shop,
    take_rows,
)

ITEMS, USERS, LOG, MEDIA = "items.parquet", "users.parquet", "interactions.parquet", "media.parquet"
M = N_USERS * N_EACH
GLOBAL_TIME = ("--split", "global_time")
DAMAGED = b"\x89PNG\r\n\x1a\n is no picture"

Plant = Callable[[Path], object]


@dataclass(frozen=True)
class Fault:
    """What is planted, the finding that it must give, and what may be found besides."""

    plant: Plant
    check: str
    severity: str
    count: int
    about: str = ""
    options: tuple[object, ...] = ()
    besides: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound_shop(tmp_path_factory.mktemp("sound"))


def picture(folder: Path, number: int = 3) -> Path:
    return folder / "media" / "pictures" / f"{number}.bmp"


def link_out(folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder.parent / "secret.bmp")
    picture(folder).unlink()
    picture(folder).symlink_to(folder.parent / "secret.bmp")


def other_picture_of_the_same_size(folder: Path) -> None:
    size = picture(folder).stat().st_size
    Image.new("RGB", (8, 8), "white").save(picture(folder))
    assert picture(folder).stat().st_size == size


def change_by_hand(folder: Path) -> None:
    table = pq.read_table(folder / ITEMS)
    pq.write_table(table.set_column(1, "title", pa.array(["x"] * N_ITEMS)), folder / ITEMS)


def drop_column(folder: Path, table: str, name: str) -> None:
    pq.write_table(pq.read_table(folder / table).drop_columns([name]), folder / table)
    edit_manifest(folder, lambda content: content["sha256"].pop(table))


def without_times(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / LOG).drop_columns(["timestamp"]), folder / LOG)
    set_values(folder, LOG, "item", {})


def times(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    old = pq.read_table(folder / LOG).column("timestamp").to_numpy()
    set_column(folder, LOG, "timestamp", pa.array(change(old.copy())))


def at(values: np.ndarray, positions: slice, value: Any) -> np.ndarray:
    values[positions] = value
    return values


def crowd(folder: Path) -> None:
    """Nine of ten interactions are with one item; every other item keeps one."""
    item = [row % N_ITEMS if row < N_ITEMS else 0 for row in range(M)]
    set_column(folder, LOG, "item", pa.array(item, pa.int32()))


def small(folder: Path, n_items: int) -> None:
    take_rows(folder, ITEMS, list(range(n_items)))
    log = pq.read_table(folder / LOG).column("item").to_numpy()
    set_column(folder, LOG, "item", pa.array(log % n_items, pa.int32()))


def double_of_a_target(folder: Path) -> None:
    """User 0's last three interactions are one and the same: the first of them is trained on, the others targets."""
    set_values(folder, LOG, "item", {N_EACH - 3: 5, N_EACH - 2: 5, N_EACH - 1: 5})
    set_values(folder, LOG, "timestamp", dict.fromkeys(range(N_EACH - 3, N_EACH), START + 10_000))


def blank(folder: Path, name: str, rows: range, value: str | None = None) -> None:
    set_values(folder, ITEMS, name, dict.fromkeys(rows, value))


TABLES = {
    "missing table": Fault(lambda d: (d / USERS).unlink(), "missing_tables", "error", 1),
    "truncated table": Fault(
        lambda d: (d / LOG).write_bytes((d / LOG).read_bytes()[:-9]),
        "unreadable_tables",
        "error",
        1,
        besides={"changed_tables"},
    ),
    "table changed by hand": Fault(change_by_hand, "changed_tables", "error", 1),
    "column of another type": Fault(
        lambda d: set_column(d, ITEMS, "title", pa.array(range(N_ITEMS))), "columns", "error", 1
    ),
    "column gone": Fault(lambda d: drop_column(d, LOG, "item"), "columns", "error", 1, besides={"changed_tables"}),
    "other counts": Fault(
        lambda d: edit_manifest(d, lambda c: c["counts"].update(interactions=7)), "counts", "error", 1
    ),
    "other presence": Fault(
        lambda d: edit_manifest(d, lambda c: c["counts"]["present"].update(image=7)), "counts", "error", 1
    ),
}
IDS = {
    "null item id": Fault(lambda d: set_values(d, ITEMS, "item_id", {4: None}), "blank_item_ids", "error", 1),
    "blank user id": Fault(lambda d: set_values(d, USERS, "user_id", {4: " "}), "blank_user_ids", "error", 1),
    "double item id": Fault(lambda d: set_values(d, ITEMS, "item_id", {4: "i5"}), "duplicate_item_ids", "error", 2),
    "double user id": Fault(
        lambda d: set_values(d, USERS, "user_id", {4: "u5", 6: "u5"}), "duplicate_user_ids", "error", 3
    ),
    "item id in capitals": Fault(
        lambda d: set_values(d, ITEMS, "item_id", {4: "I5"}), "similar_item_ids", "warning", 2
    ),
    "user id with a space": Fault(
        lambda d: set_values(d, USERS, "user_id", {4: " u5", 6: "U 5"}), "similar_user_ids", "warning", 3
    ),
}
CONTENT = {
    "some without text": Fault(
        lambda d: blank(d, "text", range(3)), "lacking_modality", "warning", 3, "text", besides={"duplicate_content"}
    ),
    "all without text": Fault(lambda d: blank(d, "text", range(N_ITEMS)), "lacking_modality", "error", N_ITEMS, "text"),
    "some without anything": Fault(
        lambda d: (blank(d, "text", range(2)), blank(d, "image", range(2))),
        "no_content",
        "warning",
        2,
        besides={"lacking_modality"},
    ),
    "all without anything": Fault(
        lambda d: (blank(d, "text", range(N_ITEMS)), blank(d, "image", range(N_ITEMS))),
        "no_content",
        "error",
        N_ITEMS,
        besides={"lacking_modality"},
    ),
    "blank text": Fault(
        lambda d: blank(d, "text", range(2), " \t"), "blank_texts", "warning", 2, "text", besides={"lacking_modality"}
    ),
    "long text": Fault(
        lambda d: blank(d, "text", range(2), "ab" * 5001),
        "long_texts",
        "warning",
        2,
        "text",
        besides={"duplicate_texts"},
    ),
    "same text": Fault(lambda d: blank(d, "text", range(3), "chair"), "duplicate_texts", "warning", 3, "text"),
    "same picture file": Fault(
        lambda d: blank(d, "image", range(3), "media/pictures/0.bmp"), "duplicate_pictures", "warning", 3, "image"
    ),
    "same text and picture": Fault(
        lambda d: (blank(d, "text", range(2), "chair"), blank(d, "image", range(2), "media/pictures/0.bmp")),
        "duplicate_content",
        "warning",
        2,
        besides={"duplicate_texts", "duplicate_pictures"},
    ),
}
PICTURES = {
    "missing file": Fault(lambda d: picture(d).unlink(), "missing_pictures", "error", 1, "image"),
    "empty file": Fault(lambda d: picture(d).write_bytes(b""), "empty_pictures", "error", 1, "image"),
    "no picture": Fault(lambda d: picture(d).write_bytes(DAMAGED), "unreadable_pictures", "error", 1, "image"),
    "truncated": Fault(
        lambda d: picture(d).write_bytes(picture(d).read_bytes()[:-20]), "changed_pictures", "error", 1, "image"
    ),
    "truncated, decoded": Fault(
        lambda d: picture(d).write_bytes(picture(d).read_bytes()[:-20]),
        "unreadable_pictures",
        "error",
        1,
        "image",
        ("--check-media", "full"),
    ),
    "other picture": Fault(
        other_picture_of_the_same_size, "changed_pictures", "error", 1, "image", ("--check-media", "full")
    ),
    "link out": Fault(link_out, "unsafe_pictures", "error", 1, "image"),
    "path out": Fault(
        lambda d: set_values(d, ITEMS, "image", {3: "../source/items.csv", 4: "/etc/hostname", 5: "http://x/y.png"}),
        "unsafe_pictures",
        "error",
        3,
        "image",
    ),
    "path beside media": Fault(
        lambda d: set_values(d, ITEMS, "image", {3: "items.parquet"}), "unsafe_pictures", "error", 1, "image"
    ),
    "many pixels": Fault(lambda d: None, "oversized_pictures", "error", N_ITEMS, "image", ("--max-pixels", 60)),
    "many bytes": Fault(lambda d: None, "oversized_pictures", "error", N_ITEMS, "image", ("--max-media-bytes", 99)),
    "not listed": Fault(
        lambda d: take_rows(d, MEDIA, list(range(N_ITEMS - 2))), "unlisted_pictures", "error", 2, "image"
    ),
}
ROWS = {
    "unknown user": Fault(lambda d: set_values(d, LOG, "user", {M - 1: 99}), "users_that_do_not_exist", "error", 1),
    "missing user": Fault(lambda d: set_values(d, LOG, "user", {M - 1: None}), "users_that_do_not_exist", "error", 1),
    "unknown item": Fault(
        lambda d: set_values(d, LOG, "item", {4: N_ITEMS, 5: -1}), "items_that_do_not_exist", "error", 2
    ),
    "missing time": Fault(lambda d: set_values(d, LOG, "timestamp", {4: None}), "missing_times", "error", 1),
    "time that is no number": Fault(
        lambda d: times(d, lambda t: np.where(np.arange(M) == 3, np.nan, t.astype(float))), "missing_times", "error", 1
    ),
    "unsorted users": Fault(
        lambda d: take_rows(d, LOG, [*range(N_EACH, M), *range(N_EACH)]), "order_of_log", "error", 1
    ),
    "unsorted times": Fault(lambda d: take_rows(d, LOG, [1, 0, *range(2, M)]), "order_of_log", "error", 1),
    "empty log": Fault(lambda d: take_rows(d, LOG, []), "empty_log", "error", 1),
}
TIMES = {
    "no times": Fault(without_times, "no_times", "warning", M),
    "equal times": Fault(
        lambda d: times(d, lambda t: np.full(M, START)), "equal_times", "error", M, besides={"tied_times"}
    ),
    "ties": Fault(lambda d: set_values(d, LOG, "timestamp", {0: START, 1: START}), "tied_times", "warning", 2),
    "milliseconds among seconds": Fault(
        lambda d: times(d, lambda t: at(t, slice(N_EACH - 2, N_EACH), 10**12)),
        "mixed_units",
        "error",
        2,
        besides={"tied_times"},
    ),
    "zero": Fault(lambda d: set_values(d, LOG, "timestamp", {0: 0}), "early_times", "error", 1),
    "future": Fault(
        lambda d: set_values(d, LOG, "timestamp", {M - 1: int(time.time()) + 10**6}), "future_times", "warning", 1
    ),
    "unsorted import": Fault(
        lambda d: edit_manifest(d, lambda c: c["source"]["observed"].update(out_of_order=9)),
        "unsorted_import",
        "warning",
        9,
    ),
    "repeated": Fault(lambda d: set_values(d, LOG, "item", {2: 1}), "repeated_interactions", "warning", 1),
    "logged twice": Fault(
        lambda d: (set_values(d, LOG, "item", {2: 1}), set_values(d, LOG, "timestamp", {1: START + 1, 2: START + 1})),
        "double_rows",
        "warning",
        1,
        besides={"repeated_interactions", "tied_times"},
    ),
}
SPLIT = {
    "small catalogue": Fault(lambda d: small(d, 12), "small_catalogue", "warning", 12),
    "one item": Fault(
        lambda d: small(d, 1),
        "small_catalogue",
        "error",
        1,
        besides={"repeated_interactions", "repeated_targets", "popular_items"},
    ),
    "unused items": Fault(
        lambda d: set_column(
            d, LOG, "item", pa.array(pq.read_table(d / LOG).column("item").to_numpy() // 2, pa.int32())
        ),
        "unused_items",
        "warning",
        N_ITEMS // 2,
        besides={"repeated_interactions", "repeated_targets"},
    ),
    "one item for all": Fault(
        crowd,
        "popular_items",
        "warning",
        M - N_ITEMS + 1,
        besides={"repeated_interactions", "repeated_targets", "cold_targets"},
    ),
    "some short users": Fault(lambda d: take_rows(d, LOG, list(range(M - N_EACH + 3))), "short_users", "warning", 1),
    "all users short": Fault(
        lambda d: None, "short_users", "error", N_USERS, "", ("--min-interactions", 11), {"impossible_split"}
    ),
    "no time to split by": Fault(
        without_times, "impossible_split", "error", 1, "global_time", GLOBAL_TIME, {"no_times"}
    ),
    "repeated target": Fault(
        lambda d: set_values(d, LOG, "item", {N_EACH - 1: 0}),
        "repeated_targets",
        "warning",
        1,
        "test",
        besides={"repeated_interactions"},
    ),
    "target without history": Fault(
        lambda d: take_rows(d, LOG, [*range(M - N_EACH), M - 1]),
        "targets_without_history",
        "warning",
        1,
        "test",
        (*GLOBAL_TIME, "--min-interactions", 1),
        {"targets_without_history", "short_users"},
    ),
    "a user long ago": Fault(
        lambda d: times(d, lambda t: at(t, slice(0, N_EACH), t[:N_EACH] - 10**6)),
        "later_training",
        "warning",
        1,
        "test",
        besides={"later_training"},
    ),
    "double of a target": Fault(
        double_of_a_target,
        "targets_in_training",
        "error",
        1,
        "test",
        besides={
            "targets_in_training",
            "repeated_targets",
            "repeated_interactions",
            "double_rows",
            "tied_times",
            "later_training",
        },
    ),
}
FAULTS = TABLES | IDS | CONTENT | PICTURES | ROWS | TIMES | SPLIT

# Of text and pictures without stores, in order; who reads the JSON relies on the names.
NAMES = [
    "missing_tables",
    "unreadable_tables",
    "changed_tables",
    "columns",
    "counts",
    "blank_item_ids",
    "duplicate_item_ids",
    "similar_item_ids",
    "blank_user_ids",
    "duplicate_user_ids",
    "similar_user_ids",
    "lacking_modality/text",
    "lacking_modality/image",
    "no_content",
    "blank_texts/text",
    "long_texts/text",
    "missing_pictures/image",
    "unsafe_pictures/image",
    "empty_pictures/image",
    "oversized_pictures/image",
    "unreadable_pictures/image",
    "changed_pictures/image",
    "unlisted_pictures/image",
    "duplicate_texts/text",
    "duplicate_pictures/image",
    "duplicate_content",
    "users_that_do_not_exist",
    "items_that_do_not_exist",
    "missing_times",
    "order_of_log",
    "empty_log",
    "no_times",
    "equal_times",
    "tied_times",
    "unsorted_import",
    "mixed_units",
    "early_times",
    "future_times",
    "repeated_interactions",
    "double_rows",
    "small_catalogue",
    "unused_items",
    "popular_items",
    "short_users",
    "impossible_split/leave_one_out",
    "targets_without_history/valid",
    "repeated_targets/valid",
    "cold_targets/valid",
    "targets_without_history/test",
    "repeated_targets/test",
    "cold_targets/test",
    "targets_in_training/valid",
    "later_training/valid",
    "targets_in_training/test",
    "later_training/test",
]


def examined(cli: Cli, folder: Path, *options: object) -> tuple[int, dict[str, Any]]:
    result = cli("doctor", folder, "--format", "json", *options)
    assert result.code in (0, 1), result.err
    return result.code, json.loads(result.out)


def by_severity(report: dict[str, Any], severity: str) -> set[tuple[str, str]]:
    return {(one["check"], one["about"]) for one in report["findings"] if one["severity"] == severity}


@pytest.mark.parametrize("options", [(), GLOBAL_TIME, ("--check-media", "full", "--keep-last", 4)], ids=str)
def test_a_sound_dataset_has_no_finding(cli: Cli, sound: Path, options: tuple[object, ...]) -> None:
    code, report = examined(cli, sound, *options)
    assert (code, report["severity"]) == (0, "ok")
    assert by_severity(report, "error") | by_severity(report, "warning") == set()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found(cli: Cli, sound: Path, tmp_path: Path, fault: Fault) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(sound, folder)
    fault.plant(folder)
    code, report = examined(cli, folder, *fault.options)
    found = [one for one in report["findings"] if (one["check"], one["about"]) == (fault.check, fault.about)]
    assert [(one["severity"], one["count"]) for one in found] == [(fault.severity, fault.count)]
    assert found[0]["how"]
    assert code == (1 if fault.severity == "error" else 0)
    others = by_severity(report, "error") | by_severity(report, "warning")
    assert {check for check, _ in others} <= {fault.check} | fault.besides


def test_all_faults_of_a_damaged_dataset_are_found_at_once(cli: Cli, sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(sound, folder)
    set_values(folder, ITEMS, "item_id", {4: "i5"})
    set_values(folder, LOG, "item", {4: None, 5: 99})
    take_rows(folder, LOG, [1, 0, *range(2, M)])
    picture(folder).unlink()
    picture(folder, 4).write_bytes(DAMAGED)
    change_by_hand(folder)
    (folder / USERS).unlink()
    code, report = examined(cli, folder)
    assert code == 1
    assert {check for check, _ in by_severity(report, "error")} == {
        "missing_tables",
        "changed_tables",
        "duplicate_item_ids",
        "missing_pictures",
        "unreadable_pictures",
        "items_that_do_not_exist",
        "order_of_log",
    }
    # The log goes on without the two rows.
    assert {one["total"] for one in report["findings"] if one["check"] == "repeated_interactions"} == {M - 2}
    assert ("later_training", "test") in {(one["check"], one["about"]) for one in report["findings"]}


def test_every_table_may_be_missing_or_garbage(cli: Cli, sound: Path, tmp_path: Path) -> None:
    for number, name in enumerate((ITEMS, USERS, LOG, MEDIA)):
        for damage in (b"", b"PAR1", b"x" * 999):
            folder = tmp_path / f"{number}-{len(damage)}"
            shutil.copytree(sound, folder)
            (folder / name).write_bytes(damage)
            code, report = examined(cli, folder)
            assert code == 1
            assert {check for check, _ in by_severity(report, "error")} == {"unreadable_tables", "changed_tables"}


ODD = {
    "nothing": pa.nulls(M),
    "lists": pa.array([[1]] * M),
    "bytes": pa.array([b"\xff"] * M),
    "large": pa.array([2**64 - 1] * M, pa.uint64()),
    "truth": pa.array([True] * M),
    "categories": pa.array(["é"] * M).dictionary_encode(),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_column_of_any_type_is_a_finding(sound: Path, tmp_path: Path, odd: pa.Array) -> None:
    for table in (ITEMS, USERS, LOG, MEDIA):
        before = pq.read_table(sound / table)
        for name in before.column_names:
            folder = tmp_path / f"{table}-{name}"
            shutil.copytree(sound, folder)
            set_column(folder, table, name, odd.slice(0, before.num_rows))
            assert examine(folder).of("error"), (table, name)


def test_the_json_form_is_stable(cli: Cli, sound: Path) -> None:
    _, report = examined(cli, sound)
    assert list(report) == ["version", "dataset", "name", "severity", "options", "counts", "findings"]
    assert report["version"] == 1
    assert set(report["counts"]) == {"items", "users", "interactions", "present"}
    keys = ["check", "about", "severity", "count", "total", "unit", "what", "examples", "how", "share"]
    assert all(list(one) == keys for one in report["findings"])
    names = [f"{one['check']}/{one['about']}".rstrip("/") for one in report["findings"]]
    assert names == NAMES
    assert len(set(names)) == len(names)


def test_a_report_for_people(cli: Cli, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(sound, folder)
    picture(folder).unlink()
    set_values(folder, LOG, "item", {2: 1})
    monkeypatch.setenv("COLUMNS", "100")
    result = cli("doctor", folder)
    assert (result.code, result.err) == (1, "")
    lines = result.out.splitlines()
    assert max(map(len, lines[1:])) <= 100
    assert lines[0].endswith("24 items, 12 users, 120 interactions")
    assert lines[-1].startswith("errors: 1, warnings: 1, fine: ")
    assert lines[-1].endswith("training would be wrong")
    words = " ".join(result.out.replace("│", " ").split())
    assert words.index("missing_pictures") < words.index("repeated_interactions") < words.index("fine: ")
    assert "i3: there is no file 'media/pictures/3.bmp'" in words
    assert "→ restore the files" in words


def test_what_is_no_dataset_is_bad_input(cli: Cli, sound: Path, tmp_path: Path) -> None:
    result = cli("doctor", tmp_path)
    assert (result.code, len(result.error_lines)) == (2, 1)
    assert "not a dataset folder" in result.err
    folder = tmp_path / "shop"
    shutil.copytree(sound, folder)
    (folder / "dataset.json").write_text("{")
    assert cli("doctor", folder).code == 2
    assert cli("doctor", sound, "--states", tmp_path / "nowhere").code == 2
    assert cli("doctor", sound, "--split", "by_moon").code == 2


def test_nothing_is_written(cli: Cli, sound: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sound.rglob("*")}
    examined(cli, sound, "--check-media", "full")
    assert {path: path.stat().st_mtime_ns for path in sound.rglob("*")} == before


def test_the_guide_lists_every_check() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    package = Path(iisan.__file__).parent
    sources = [*(package / "data" / "doctor").glob("*.py"), package / "jobs" / "store_findings.py"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    checks = {name.split("/")[0] for name in NAMES}
    checks |= set(re.findall(r'finding\(\s*"(\w+)"', code)) | {check for check, _, _ in FAULTS_OF_PICTURES.values()}
    assert len(checks) > 45
    assert {check for check in checks if f"`{check}`" not in guide} == set()
