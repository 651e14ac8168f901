"""The journal of additions against a dictionary that is told the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from iisan.errors import UserError
from iisan.models.added_facts import AddedFacts
from iisan.models.added_items import AddedItems
from iisan.models.additions import Additions
from iisan.models.item_table import ItemTable
from iisan.models.picture_store import PictureStore

D = 3


def make_model(folder: Path, seed: int = 0) -> Path:
    """A model folder as far as the journal sees it: weights and an item table of four items."""
    folder.mkdir()
    save_file({"w": torch.full((2,), float(seed))}, folder / "model.safetensors")
    table(4).save(folder)
    return folder


def table(n: int) -> ItemTable:
    ids = [f"b{row}" for row in range(n)]
    embeddings = torch.arange(n * D, dtype=torch.float32).view(n, D)
    hashes: list[str | None] = [None if row == 1 else f"hash of b{row}" for row in range(n)]
    return ItemTable(ids, [f"title of {one}" for one in ids], embeddings, torch.arange(n) != 1, {"text": hashes})


def added(ids: list[str], value: float) -> AddedItems:
    embeddings = torch.full((len(ids), D), value)
    return AddedItems.new(ids, [f"{one} at {value}" for one in ids], embeddings, {"text": [f"{value}"] * len(ids)})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def loaded(model: Path) -> ItemTable:
    found = ItemTable.load(model)
    assert found is not None
    return found


IDS = st.lists(st.sampled_from([f"b{row}" for row in range(4)] + [f"n{row}" for row in range(5)]), unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), IDS.filter(bool)),
        st.tuples(st.just("remove"), IDS.filter(bool)),
        st.tuples(st.just("save"), st.just([])),
        st.tuples(st.just("move"), st.just([])),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_history_gives_the_table_that_a_dictionary_gives(steps: list[tuple[str, list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        model = make_model(Path(root) / "model")
        journal = Additions(model)
        followed = loaded(model)
        start = table(4)
        known = {
            one: (title, value.tolist(), bool(offered), digest)
            for one, title, value, offered, digest in zip(
                start.item_ids, start.titles, start.embeddings, start.recommendable, start.hashes["text"], strict=True
            )
        }
        numbers = [0]
        for number, (what, ids) in enumerate(steps):
            ids = [one for one in ids if what == "add" or one in known]
            if what == "add":
                numbers.append(journal.append(added(ids, float(number))))
                known |= {
                    one: (f"{one} at {float(number)}", [float(number)] * D, True, f"{float(number)}") for one in ids
                }
            elif what == "remove" and ids:
                numbers.append(journal.remove(ids, D))
                known |= {one: (*known[one][:2], False, known[one][3]) for one in ids}
            elif what == "save":
                whole = loaded(model)
                whole.save(model)
                journal.drop_absorbed(whole.last_addition)
                assert not (model / "additions").exists()
            elif what == "move":
                shutil.move(model, Path(root) / f"model-{number}")
                model = Path(root) / f"model-{number}"
                journal = Additions(model)
            assert journal.last() == numbers[-1]
            # Who read earlier and reads on from there has the same as who reads anew.
            followed = followed.with_additions(journal.read(followed.last_addition, D))
            for one in (loaded(model), followed):
                assert one.item_ids == list(known)
                assert one.last_addition == numbers[-1]
                assert one.titles == [value[0] for value in known.values()]
                assert one.embeddings.tolist() == [value[1] for value in known.values()]
                assert one.recommendable.tolist() == [value[2] for value in known.values()]
                assert one.hashes["text"] == [value[3] for value in known.values()]
        assert numbers == sorted(set(numbers))


def test_the_table_that_was_there_stays_as_it_is(model: Path) -> None:
    before = loaded(model)
    Additions(model).append(added(["b0", "new"], 7.0))
    after = before.with_additions(Additions(model).read(0, D))
    assert before.embeddings[0].tolist() == [0.0, 1.0, 2.0]
    assert (len(before), len(after)) == (4, 5)
    assert after.embeddings[0].tolist() == [7.0] * D


def test_an_item_taken_back_stays_known_and_can_come_again(model: Path) -> None:
    journal = Additions(model)
    journal.remove(["b0"], D)
    gone = loaded(model)
    assert (gone.row("b0"), bool(gone.removed[0]), bool(gone.recommendable[0])) == (0, True, False)
    assert gone.embeddings[0].tolist() == [0.0, 1.0, 2.0]
    journal.append(added(["b0"], 1.0))
    again = loaded(model)
    assert (again.row("b0"), bool(again.removed[0]), bool(again.recommendable[0])) == (0, False, True)


def test_an_unknown_id_is_not_taken_back(model: Path) -> None:
    journal = Additions(model)
    journal.append(added(["n1"], 1.0))
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    with pytest.raises(
        UserError, match=r"model: the model does not know 3 of the ids, such as .x0., .x1., .x2."
    ) as error:
        journal.remove(["b0", "x0", "n1", "x1", "x2"], D)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    assert journal.remove(["b0", "n1"], D) == 2


def test_the_version_changes_with_every_addition(model: Path) -> None:
    journal = Additions(model)
    versions = [journal.version()]
    for value in range(3):
        journal.append(added([f"n{value}"], value))
        versions.append(journal.version())
        assert journal.version() == versions[-1]
    assert len(set(versions)) == 4


def test_additions_of_other_weights_are_refused_and_go_with_the_next_save(model: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", seed=1)
    Additions(model).append(added(["n"], 1.0))
    shutil.copytree(model / "additions", other / "additions")
    with pytest.raises(UserError, match=r"000001\.parquet: these items were added to a model with other weights"):
        ItemTable.load(other)
    table(4).save(other)
    Additions(other).drop_absorbed(0)
    assert loaded(other).item_ids == table(4).item_ids
    assert Additions(other).append(added(["m"], 2.0)) == 1


def test_a_save_drops_no_addition_that_came_since_it_was_loaded(model: Path) -> None:
    journal = Additions(model)
    journal.append(added(["n1"], 1.0))
    early = loaded(model)
    journal.append(added(["n2"], 2.0))
    early.save(model)
    journal.drop_absorbed(early.last_addition)
    assert [path.name for path in (model / "additions").iterdir()] == ["000002.parquet"]
    assert loaded(model).item_ids == ["b0", "b1", "b2", "b3", "n1", "n2"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip_a_number(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(torch.tensor([5.0]).numpy().tobytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def rewrite(path: Path, **columns: pa.Array) -> None:
    read = pq.read_table(path)
    for name, values in columns.items():
        read = read.set_column(read.column_names.index(name), name, values)
    pq.write_table(read, path)


def newer(path: Path) -> None:
    read = pq.read_table(path)
    pq.write_table(read.replace_schema_metadata({**read.schema.metadata, b"iisan.additions.version": b"2"}), path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"000001\.parquet: the items added here cannot be read"),
        (flip_a_number, r"000001\.parquet: the items added here cannot be read"),
        (lambda path: path.write_bytes(b""), r"000001\.parquet: the items added here cannot be read"),
        (lambda path: pq.write_table(pa.table({"a": [1]}), path), "it is no addition to a model"),
        (lambda path: rewrite(path, item_id=pa.array(["n", "n", "m"])), "an id occurs twice"),
        (lambda path: rewrite(path, item_id=pa.array(["n", None, "m"], pa.string())), "ids or embeddings are missing"),
        (lambda path: rewrite(path, removed=pa.array(["n", "o", "p"])), "no column 'removed' of bool"),
        (
            lambda path: rewrite(path, embedding=pa.array([[1.0, float("nan"), 1.0]] * 3, pa.list_(pa.float32(), D))),
            "ids or embeddings are missing",
        ),
        (newer, r"additions of version 2 are not known \(this version reads 1\); upgrade iisan"),
        (Path.unlink, r"000001\.parquet: the file is missing, though there is 000002\.parquet"),
    ],
    ids=["cut", "bit", "empty", "foreign", "double", "null id", "type", "nan", "newer", "missing"],
)
def test_damage_is_one_line(model: Path, damage: Callable[[Path], object], message: str) -> None:
    Additions(model).append(added(["n1", "n2", "n3"], 5.0))
    Additions(model).append(added(["n4"], 6.0))
    damage(model / "additions" / "000001.parquet")
    with pytest.raises(UserError, match=message) as error:
        ItemTable.load(model)
    assert "\n" not in str(error.value)


def test_embeddings_of_another_width_are_refused(model: Path) -> None:
    Additions(model).append(AddedItems.new(["n"], [None], torch.ones(1, D + 1), {}))
    with pytest.raises(UserError, match="no column 'embedding' of fixed_size_list"):
        ItemTable.load(model)


HOLD = """
import sys
from pathlib import Path
from iisan.models.additions import Additions
with Additions(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_two_writers_are_one_too_many(model: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(UserError, match="another process is adding items to this model; wait until it is done"):
            Additions(model).append(added(["n"], 1.0))
        assert len(loaded(model)) == 4
    finally:
        holder.kill()
        holder.communicate()
    # The dead one's lock is no lock.
    Additions(model).append(added(["n"], 1.0))
    assert sorted(path.name for path in model.iterdir()) == [
        "additions",
        "item_embeddings.safetensors",
        "items.parquet",
        "model.safetensors",
    ]


def test_threads_of_one_process_exclude_each_other_too(model: Path) -> None:
    journal = Additions(model)
    refused: list[str] = []

    def other() -> None:
        try:
            journal.append(added(["n"], 1.0))
        except UserError as error:
            refused.append(error.what)

    with journal.held():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        journal.append(added(["m"], 1.0))
    assert refused == ["another process is adding items to this model"]
    assert loaded(model).item_ids[4:] == ["m"]


def test_a_reader_sees_whole_additions_in_order_while_a_writer_writes(model: Path) -> None:
    n, done = 40, threading.Event()

    def write() -> None:
        journal = Additions(model)
        for number in range(n):
            journal.append(added([f"n{2 * number}", f"n{2 * number + 1}"], float(number)))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set() or not seen:
        now = loaded(model)
        seen.add(len(now))
        assert now.item_ids[4:] == [f"n{k}" for k in range(len(now) - 4)]
        assert now.embeddings[4:, 0].tolist() == [k // 2 for k in range(len(now) - 4)]
    writer.join()
    assert all(size % 2 == 0 for size in seen)
    assert len(loaded(model)) == 4 + 2 * n


# Dies without any clean-up at the k-th file operation, for every k; each time the next writer goes on.
DIE_EVERYWHERE = """
    import itertools, os, shutil, sys
    from pathlib import Path
    import torch
    from iisan.models.additions import Additions
    from iisan.models.item_table import ItemTable
    from tests.models.test_additions import added

    torch.set_num_threads(1)
    os.fsync = lambda descriptor: None
    root, model = Path(sys.argv[1]), Path(sys.argv[2])

    def write(path):
        journal = Additions(path)
        with journal.held():
            for number in range(journal.last(), 3):
                journal.append(added([f"n{number}", "b0"], float(number)))

    def die_at(step, after):
        counter = itertools.count()
        for owner, name in ((Path, "replace"), (Path, "unlink"), (Path, "mkdir"), (os, "fsync")):
            def wrapped(*args, original=getattr(owner, name), **kwargs):
                now = next(counter)
                if now == step and not after:
                    os._exit(7)
                result = original(*args, **kwargs)
                if now == step:
                    os._exit(7)
                return result
            setattr(owner, name, wrapped)

    def content(path):
        return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}

    whole = root / "whole"
    shutil.copytree(model, whole)
    write(whole)
    died = 0
    for step in itertools.count():
        for after in (False, True):
            path = root / f"{step}-{after}"
            shutil.copytree(model, path)
            child = os.fork()
            if child == 0:
                die_at(step, after)
                write(path)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, 7), code
            died += code == 7
            table = ItemTable.load(path)
            assert table.item_ids[4:] == [f"n{k}" for k in range(table.last_addition)], step
            write(path)
            assert content(path) == content(whole), (step, after)
        if code == 0:
            break
    print(died)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_death_at_every_file_operation(model: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DIE_EVERYWHERE), str(tmp_path), str(model)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_a_full_disk_leaves_nothing_of_the_addition(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    Additions(model).append(added(["n0"], 0.0))
    before = {path.name: path.read_bytes() for path in (model / "additions").iterdir()}
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"\(No space left on device\).*make room.*added before is safe"):
        Additions(model).append(added(["n1"], 1.0))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in (model / "additions").iterdir()} == before
    assert not list(model.glob(".*"))


def test_a_table_of_before_there_were_additions_is_read(model: Path) -> None:
    read = pq.read_table(model / "items.parquet").select(["item_id", "title", "recommendable"])
    pq.write_table(read, model / "items.parquet")
    assert (loaded(model).hashes, loaded(model).removed.any().item()) == ({}, False)
    Additions(model).append(added(["n"], 1.0))
    assert loaded(model).hashes == {"text": ["", "", "", "", "1.0"]}


FACTS = AddedFacts("0" * 64, {"color": "röd", "size": ""})


def with_facts(ids: list[str], facts: dict[int, AddedFacts]) -> AddedItems:
    plain = added(ids, 1.0)
    return AddedItems.new(ids, plain.titles, plain.embeddings, plain.hashes, facts)


def test_facts_last_as_long_as_what_they_are_of(model: Path) -> None:
    journal = Additions(model)
    journal.append(with_facts(["x", "b0", "y"], {0: FACTS, 2: AddedFacts(attributes={"color": "blue"})}))
    facts = loaded(model).facts
    rows = {one: loaded(model).row(one) for one in ("x", "b0", "y")}
    assert {one: facts[row] for one, row in rows.items() if row is not None} == {
        "x": FACTS,
        "b0": AddedFacts(),
        "y": AddedFacts(None, {"color": "blue"}),
    }
    journal.append(added(["y"], 2.0))
    journal.remove(["x"], D)
    after = loaded(model)
    assert [after.facts[row] for row in rows.values() if row is not None] == [AddedFacts()] * 3
    journal.append(with_facts(["x"], {0: FACTS}))
    loaded(model).save(model)
    Additions(model).drop_absorbed(loaded(model).last_addition)
    assert not (model / "additions").exists()
    # The empty ones too: a replaced item must not get back what a dataset says of what it was before.
    assert loaded(model).facts == {rows["x"]: FACTS, rows["b0"]: AddedFacts(), rows["y"]: AddedFacts()}


def test_a_table_without_facts_has_no_columns_for_them(model: Path) -> None:
    columns = {"picture", "attributes"}
    assert not columns & set(pq.read_schema(model / "items.parquet").names)
    Additions(model).append(added(["x"], 1.0))
    assert not columns & set(pq.read_schema(model / "additions" / "000001.parquet").names)


def test_pictures_that_items_have_go_with_a_saved_table(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [digit * 64 for digit in "0123"]
    for name in names[:3]:
        PictureStore(model).keep(name, name.encode())
    facts = {at: AddedFacts(picture=names[at]) for at in (0, 1, 3)}
    Additions(model).append(with_facts(["x", "y", "none", "lost"], facts))
    Additions(model).append(added(["y"], 2.0))
    loaded(model).save(model)
    assert {path.name for path in (model / "pictures").iterdir()} == {f"{name}.jpg" for name in names[:3]}
    (tmp_path / "other").mkdir()
    loaded(model).save(tmp_path / "other")
    saved = ItemTable.load(tmp_path / "other")
    assert saved is not None
    assert [path.name for path in (tmp_path / "other" / "pictures").iterdir()] == [f"{names[0]}.jpg"]
    assert (tmp_path / "other" / "pictures" / f"{names[0]}.jpg").read_bytes() == names[0].encode()
    assert "1 pictures of added items are missing" in caplog.text
    saved.save(tmp_path / "other")
    assert saved.pictures is not None
    assert saved.pictures.find(names[0]) is not None


@pytest.mark.parametrize("value", ["[]", '{"color": 1}', "no json", '{"color"'])
def test_damaged_attributes_are_one_line(model: Path, value: str) -> None:
    Additions(model).append(with_facts(["x"], {0: FACTS}))
    path = model / "additions" / "000001.parquet"
    read = pq.read_table(path)
    at = read.column_names.index("attributes")
    pq.write_table(read.set_column(at, "attributes", pa.array([value])), path)
    with pytest.raises(UserError, match="cannot be read"):
        loaded(model)
