"""The adder with its real processes: added, known again, replaced, taken back, refused."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from iisan.data.dataset import Dataset
from iisan.data.small_jpeg import MOST_BYTES, SIDE
from iisan.errors import UserError
from iisan.jobs.add_items import AddItemsJob, add_items
from iisan.jobs.train import TrainOutcome
from iisan.models.additions import Additions
from iisan.models.item_table import ItemTable
from iisan.models.picture_store import PictureStore
from iisan.serving.adder import Adder
from iisan.serving.adder_errors import AdderBusy, AdderFailed, CannotAdd, ItemExists, UploadRefused
from iisan.serving.adder_options import AdderOptions
from iisan.serving.new_item import NewItem
from iisan.serving.refusals import UnknownItems
from iisan.serving.upload_limits import UploadLimits
from tests.conftest import N_ITEMS, TinyModels
from tests.tiny_encoders import pictures

LIMITS = UploadLimits(picture_pixels=1_000_000, decode_seconds=2, lock_seconds=0.2)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def shared(
    trained: TrainOutcome, tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner
) -> Iterator[Adder]:
    """One adder for all tests, as its start takes seconds; each test uses ids of its own."""
    model = shutil.copytree(trained.folder, tmp_path_factory.mktemp("adder") / "model")
    adder = make(model, tiny_models)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IISAN_TOKEN", "not for the process")
        runner.run(adder.start())
        runner.run(adder.wait_ready())
    yield adder
    runner.run(adder.close())


def make(model: Path, models: TinyModels, limits: UploadLimits = LIMITS) -> Adder:
    places = (f"text={models.text}", f"image={models.image}")
    return Adder(model, options=AdderOptions(encoder=places, device="cpu", threads=1), limits=limits)


def table_of(adder: Adder) -> ItemTable:
    found = ItemTable.load(adder.model)
    assert found is not None
    return found


def picture(size: tuple[int, int] = (40, 30), kind: str = "PNG", color: str = "red") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, kind)
    return stream.getvalue()


def test_an_added_item_is_kept_whole(shared: Adder, runner: asyncio.Runner) -> None:
    item = NewItem("a/b ?ü", "Red lamp", pictures={"image": picture((900, 700))}, attributes={"color": "röd"})
    added = runner.run(shared.add(item))
    assert (added.item_id, added.outcome, added.addition) == ("a/b ?ü", "added", Additions(shared.model).last())
    table = table_of(shared)
    row = table.row("a/b ?ü")
    assert row is not None
    assert row >= N_ITEMS
    assert table.titles[row] == "Red lamp"
    assert bool(table.recommendable[row])
    assert table.facts[row].attributes == {"color": "röd"}
    path = PictureStore(shared.model).find(table.facts[row].picture)
    assert path is not None
    with Image.open(path) as kept:
        assert (kept.format, max(kept.size)) == ("JPEG", SIDE)
    assert path.stat().st_size <= MOST_BYTES


def a_small_picture(folder: Path) -> Path:
    return pictures(folder, 1, seed=77)[0]


def a_large_jpeg(folder: Path) -> Path:
    """So large that it is decoded at an eighth of its size, and so noisy that this is not the same as in full."""
    pixels = np.random.default_rng(5).integers(0, 256, (490, 2000, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = 6
    image.save(folder / "large.jpg", quality=80, exif=exif)
    return folder / "large.jpg"


@pytest.mark.parametrize("made", [a_small_picture, a_large_jpeg])
def test_an_upload_is_embedded_as_add_items_embeds_the_same_content(
    shared: Adder,
    runner: asyncio.Runner,
    trained: TrainOutcome,
    tiny_models: TinyModels,
    tmp_path: Path,
    made: Callable[[Path], Path],
) -> None:
    file = made(tmp_path)
    item_id = f"same {file.name}"
    runner.run(shared.add(NewItem(item_id, "a steel whale", pictures={"image": file.read_bytes()})))
    table = f"item_id,title,image\n{item_id},a steel whale,{file.name}\n"
    (tmp_path / "items.csv").write_text(table, encoding="utf-8")
    model = shutil.copytree(trained.folder, tmp_path / "model")
    places = (f"text={tiny_models.text}", f"image={tiny_models.image}")
    add_items(AddItemsJob(model=model, items=tmp_path / "items.csv", encoder=places, device="cpu"))
    other = ItemTable.load(model)
    assert other is not None
    mine = table_of(shared)
    one, two = mine.row(item_id), other.row(item_id)
    assert one is not None
    assert two is not None
    torch.testing.assert_close(mine.embeddings[one], other.embeddings[two], atol=1e-6, rtol=0)
    assert {name: mine.content_hash(name, one) for name in ("text", "image")} == {
        name: other.content_hash(name, two) for name in ("text", "image")
    }
    assert mine.facts[one] == other.facts[two]
    shown = [PictureStore(folder).find(mine.facts[one].picture) for folder in (shared.model, model)]
    assert None not in shown
    assert len({path.read_bytes() for path in shown if path is not None}) == 1


def test_the_same_request_again_is_done_already(shared: Adder, runner: asyncio.Runner) -> None:
    item = NewItem(None, "twice", pictures={"image": picture(color="blue")}, attributes={"size": "L"})
    first = runner.run(shared.add(item))
    again = runner.run(shared.add(item))
    assert (first.outcome, again.outcome) == ("added", "unchanged")
    assert (first.item_id, first.addition) == (again.item_id, again.addition)


@pytest.mark.parametrize(
    "other",
    [
        NewItem("known", "another title"),
        NewItem("known", "a title", attributes={"color": "red"}),
        NewItem("known", "a title", pictures={"image": picture()}),
        NewItem("known", "a title", texts={"text": "another text"}),
    ],
    ids=["title", "attributes", "picture", "text"],
)
def test_other_content_is_a_conflict_unless_it_is_to_replace(
    shared: Adder, runner: asyncio.Runner, other: NewItem
) -> None:
    runner.run(shared.add(NewItem("known", "a title", on_existing="replace")))
    with pytest.raises(ItemExists, match="on_existing=replace"):
        runner.run(shared.add(other))
    data = {name: getattr(other, name) for name in ("item_id", "title", "texts", "pictures", "attributes")}
    assert runner.run(shared.add(NewItem(**data, on_existing="replace"))).outcome == "replaced"
    row = table_of(shared).row("known")
    assert row is not None
    assert dict(table_of(shared).facts[row].attributes) == dict(other.attributes)
    runner.run(shared.add(NewItem("known", "a title", on_existing="replace")))


def test_an_item_of_the_catalogue_is_known(shared: Adder, runner: asyncio.Runner, tiny_dataset: Dataset) -> None:
    image = tiny_dataset.image_paths("image", [0])[0]
    assert image is not None
    same = NewItem("i0", str(tiny_dataset.titles[0]), pictures={"image": image.read_bytes()})
    assert runner.run(shared.add(same)).outcome == "unchanged"
    with pytest.raises(ItemExists):
        runner.run(shared.add(NewItem("i0", "other")))


def test_an_item_is_taken_back_and_added_again(shared: Adder, runner: asyncio.Runner) -> None:
    item = NewItem("back", "comes and goes", pictures={"image": picture(color="green")})
    runner.run(shared.add(item))
    number = runner.run(shared.remove("back"))
    assert runner.run(shared.remove("back")) == number
    table = table_of(shared)
    row = table.row("back")
    assert row is not None
    assert bool(table.removed[row])
    assert not table.facts[row]
    assert runner.run(shared.add(item)).outcome == "added"
    assert bool(table_of(shared).recommendable[row])
    with pytest.raises(UnknownItems, match="'nobody'"):
        runner.run(shared.remove("nobody"))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (NewItem("r", "t", pictures={"image": b"no picture"}), "no picture of a known format"),
        (NewItem("r", "t", pictures={"image": picture((300, 300), color="teal")[:150]}), "damaged"),
        (NewItem("r", "t", pictures={"image": picture((1001, 1000))}), "1,001,000 pixels"),
        (NewItem("r", "t", pictures={"image": b""}), "is empty"),
        (NewItem("r", "t", pictures={"cover": picture()}), "reads no picture 'cover'"),
        (NewItem("r", "t", texts={"review": "good"}), "reads no text 'review'"),
        (NewItem("r", " "), "title is blank"),
        (NewItem("r\n", "t"), "control character"),
        (NewItem("r", "t\0"), "a character that is none"),
    ],
)
def test_what_is_refused_leaves_no_trace(shared: Adder, runner: asyncio.Runner, item: NewItem, message: str) -> None:
    before = (Additions(shared.model).last(), sorted(PictureStore(shared.model).folder.glob("*")))
    with pytest.raises(UploadRefused, match=message):
        runner.run(shared.add(item))
    assert (Additions(shared.model).last(), sorted(PictureStore(shared.model).folder.glob("*"))) == before


def test_another_writer_is_waited_for_and_then_given_way(shared: Adder, runner: asyncio.Runner) -> None:
    with Additions(shared.model).held(), pytest.raises(AdderBusy, match="another process"):
        runner.run(shared.add(NewItem("busy", "t")))

    async def later() -> None:
        journal = Additions(shared.model)
        with journal.held():
            adding = asyncio.create_task(shared.add(NewItem("busy", "t")))
            await asyncio.sleep(0.1)
        assert (await adding).outcome == "added"

    runner.run(later())


def test_what_others_add_is_taken_in(shared: Adder, runner: asyncio.Runner) -> None:
    table = table_of(shared)
    runner.run(shared.add(NewItem("mine", "t")))
    Additions(shared.model).remove(["mine"], table.embeddings.shape[1])
    assert runner.run(shared.add(NewItem("mine", "t"))).outcome == "added"


def test_callers_that_go_away_leave_nothing_behind(shared: Adder, runner: asyncio.Runner) -> None:
    async def go_away() -> None:
        leaving = asyncio.create_task(shared.add(NewItem("left", "t")))
        while not shared._waiting:
            await asyncio.sleep(0.001)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert (await shared.add(NewItem("stayed", "t"))).item_id == "stayed"
        assert (await shared.add(NewItem("left", "t"))).outcome == "unchanged"

    runner.run(go_away())


def test_many_at_once_all_arrive(shared: Adder, runner: asyncio.Runner) -> None:
    async def many() -> list[str]:
        added = await asyncio.gather(*(shared.add(NewItem(f"many{k}", f"title {k}")) for k in range(12)))
        return [one.item_id for one in added]

    assert runner.run(many()) == [f"many{k}" for k in range(12)]
    table = table_of(shared)
    assert all(table.row(f"many{k}") is not None for k in range(12))


def test_the_process_knows_no_secret_of_the_service(shared: Adder) -> None:
    environ = Path(f"/proc/{shared.pid}/environ")
    if not environ.exists():
        pytest.skip("no /proc here")
    assert b"IISAN_TOKEN" not in environ.read_bytes()


def test_the_loop_goes_on_while_an_item_is_encoded(shared: Adder, runner: asyncio.Runner) -> None:
    async def longest_gap() -> float:
        adding = asyncio.create_task(shared.add(NewItem("slow", "t", pictures={"image": picture((900, 900))})))
        gap, last = 0.0, time.perf_counter()
        while not adding.done():
            await asyncio.sleep(0.001)
            gap, last = max(gap, time.perf_counter() - last), time.perf_counter()
        await adding
        return gap

    assert runner.run(longest_gap()) < 0.5


def test_a_killed_process_is_a_clean_error_and_is_started_again(shared: Adder, runner: asyncio.Runner) -> None:
    async def kill_while_adding() -> None:
        before, last = shared.pid, Additions(shared.model).last()
        assert before is not None
        with Additions(shared.model).held():  # So that it is still at it.
            adding = asyncio.create_task(shared.add(NewItem("killed", "t")))
            await asyncio.sleep(0.1)
            os.kill(before, signal.SIGKILL)
            with pytest.raises(AdderFailed, match="send the request again"):
                await adding
        assert Additions(shared.model).last() == last
        assert (await shared.add(NewItem("killed", "t"))).outcome == "added"
        assert shared.pid not in (None, before)

    runner.run(kill_while_adding())


def test_a_model_whose_encoders_are_not_there_says_so_and_lets_items_be_taken_back(
    trained: TrainOutcome, tmp_path: Path, runner: asyncio.Runner
) -> None:
    model = shutil.copytree(trained.folder, tmp_path / "model")
    (model / "pictures").mkdir()
    (model / "pictures" / f"{'0' * 64}.jpg").write_bytes(b"left by a kill")

    async def try_it() -> None:
        async with Adder(model, options=AdderOptions(device="cpu")) as adder:
            await adder.wait_ready()
            assert adder.cannot_add is not None
            assert "takes no new items" in adder.cannot_add
            with pytest.raises(CannotAdd, match="--encoder"):
                await adder.add(NewItem("x", "t"))
            await adder.remove("i1")

    runner.run(try_it())
    table = ItemTable.load(model)
    assert table is not None
    assert bool(table.removed[table.row("i1") or 0])
    assert list((model / "pictures").iterdir()) == []


def test_a_folder_that_is_no_model_says_so(tmp_path: Path, runner: asyncio.Runner) -> None:
    async def try_it() -> None:
        async with Adder(tmp_path) as adder:
            await adder.wait_ready()
            with pytest.raises(UserError, match="not a model folder"):
                await adder.add(NewItem("x", "t"))

    runner.run(try_it())
