"""Items added and removed over HTTP."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from iisan.data.dataset import Dataset
from iisan.jobs.add_items import AddItemsJob, add_items
from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommender
from tests.conftest import TinyModels
from tests.serving.running import PATIENCE, Running, running

TOKEN = "0123456789abcdef-the-token"


@pytest.fixture(scope="module")
def model(trained: TrainOutcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(trained.folder, folder)
    return folder


@pytest.fixture(scope="module")
def encoders(tiny_models: TinyModels) -> list[str]:
    return [f"text={tiny_models.text}", f"image={tiny_models.image}"]


@pytest.fixture(scope="module")
def served(model: Path, tiny_dataset: Dataset, encoders: list[str]) -> Iterator[Running]:
    with running(model, token=TOKEN, dataset=tiny_dataset.path, encoder=encoders, reload_seconds=0.1) as found:
        found.client.headers["Authorization"] = f"Bearer {TOKEN}"
        wait_until_ready(found.client)
        yield found


def wait_until_ready(client: httpx.Client) -> None:
    """Returns when new items are taken."""
    until = time.monotonic() + PATIENCE
    while (adding := client.get("/readyz").json()["adding"]) == "loading":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert adding == "ready"


def picture(color: str, size: tuple[int, int] = (24, 24), form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, form)
    return stream.getvalue()


def add(client: httpx.Client, title: str, content: bytes | None = None, **fields: Any) -> httpx.Response:
    files = {} if content is None else {"picture": ("a.png", content, "image/png")}
    # A field of None makes it multipart also where there is no file.
    return client.post("/items", data={"title": title, **fields}, files=files or {"on_existing": (None, "error")})


def test_an_item_is_added_recommended_shown_and_removed(served: Running, model: Path) -> None:
    client = served.client
    answer = add(client, "zanzibar lamp", picture("red"), item_id="new 1/ü?", attributes=json.dumps({"color": "red"}))
    assert answer.status_code == 201, answer.text
    added = answer.json()
    assert added["item_id"] == "new 1/ü?"
    assert added["outcome"] == "added"
    assert added["recommendable"]
    item = client.get(added["picture"].removesuffix("/picture")).json()
    assert item["title"] == "zanzibar lamp"
    assert item["attributes"] == {"color": "red"}
    shown = Image.open(io.BytesIO(client.get(added["picture"]).content)).convert("RGB")
    red, green, blue = shown.getpixel((5, 5))
    assert red > 200
    assert green < 60 > blue
    ranked = client.post("/recommend", json={"history": ["i1"], "k": 30}).json()["items"]
    assert "new 1/ü?" in {one["item_id"] for one in ranked}
    chosen = {"history": ["i1"], "k": 30, "filters": {"attributes": {"color": ["red"]}}}
    assert [one["item_id"] for one in client.post("/recommend", json=chosen).json()["items"]] == ["new 1/ü?"]
    assert client.post("/recommend", json={"history": ["new 1/ü?"], "k": 3}).status_code == 200
    assert client.get("/items", params={"query": "zanzibar"}).json()["items"][0]["item_id"] == "new 1/ü?"
    assert client.get("/map", params={"item_id": "new 1/ü?"}).json()["placed"][0][2] == "new 1/ü?"
    # Durable: another reader of the folder knows it.
    assert Recommender.from_pretrained(model).table.row("new 1/ü?") is not None
    path = added["picture"].removesuffix("/picture")
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    ranked = client.post("/recommend", json={"history": ["i1"], "k": 30}).json()["items"]
    assert "new 1/ü?" not in {one["item_id"] for one in ranked}


def test_the_same_item_again_changes_nothing_and_another_one_is_refused(served: Running) -> None:
    client = served.client
    assert add(client, "blue chair", picture("blue"), item_id="n2").json()["outcome"] == "added"
    assert add(client, "blue chair", picture("blue"), item_id="n2").json()["outcome"] == "unchanged"
    other = add(client, "green chair", picture("green"), item_id="n2")
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    replaced = add(client, "green chair", picture("green"), item_id="n2", on_existing="replace")
    assert replaced.json()["outcome"] == "replaced"
    assert client.get("/items/n2").json()["title"] == "green chair"


def test_an_item_without_an_id_is_given_one(served: Running) -> None:
    first, second = (add(served.client, "title alone").json() for _ in range(2))
    assert first["item_id"] == second["item_id"]
    assert second["outcome"] == "unchanged"
    assert first["picture"] is None


@pytest.mark.parametrize(
    ("fields", "content", "status"),
    [
        ({"title": " "}, None, 422),
        ({"title": "x" * 501}, None, 413),
        ({"title": "x", "item_id": "a\nb"}, None, 422),
        ({"title": "x", "attributes": "[1]"}, None, 422),
        ({"title": "x", "attributes": "[" * 10_000}, None, 422),
        ({"title": "x", "on_existing": "append"}, None, 422),
        ({"title": "x", "url": "http://localhost/a.png"}, None, 422),
        ({"title": "x", "picture": "/etc/passwd"}, None, 422),
        ({"title": "x", "text.smell": "roses"}, None, 422),
        ({"title": "x"}, b"GIF89a no picture", 422),
        ({"title": "x"}, picture("red")[:60], 422),
        ({"title": "x"}, b"%!PS-Adobe-3.0 EPSF-3.0\n", 422),
        ({}, None, 422),
    ],
)
def test_bad_items_are_refused_with_a_sentence(
    served: Running, fields: dict[str, str], content: bytes | None, status: int
) -> None:
    before = served.service.snapshot.version
    files: dict[str, Any] = {name: (None, value) for name, value in fields.items()}
    if content is not None:
        files["picture"] = ("a.png", content, "image/png")
    answer = served.client.post("/items", files=files or {"item_id": (None, "x")})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert served.service.snapshot.version == before


def test_a_decompression_bomb_is_refused_and_the_service_goes_on(served: Running) -> None:
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    answer = add(served.client, "bomb", bomb.getvalue())
    assert answer.status_code in (413, 422), answer.text
    assert add(served.client, "after the bomb", picture("white")).status_code == 201


def test_unknown_items_cannot_be_removed(served: Running) -> None:
    answer = served.client.delete("/items/who")
    assert answer.status_code == 404
    assert "who" in answer.json()["detail"]


def test_recommendations_do_not_wait_for_new_items(served: Running) -> None:
    body = {"history": ["i1"], "k": 3}
    with ThreadPoolExecutor(4) as pool:
        adding = [pool.submit(add, served.client, f"item {n}", picture("red", (2000, 2000))) for n in range(3)]
        answered = 0
        while not all(one.done() for one in adding):
            assert served.client.post("/recommend", json=body).status_code == 200
            answered += 1
        assert [one.result().status_code for one in adding] == [201] * 3
    assert answered > 3


def test_an_empty_file_is_refused_and_no_file_is_none(served: Running) -> None:
    """A browser sends a field without a chosen file as an empty file without a name."""
    empty = served.client.post("/items", data={"title": "hollow"}, files={"picture": ("a.png", b"")})
    assert empty.status_code == 422
    assert "is empty" in empty.json()["detail"]
    body = b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nnone chosen\r\n'
    body += b'--x\r\nContent-Disposition: form-data; name="picture"; filename=""\r\n'
    body += b"Content-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    unchosen = served.client.post("/items", content=body, headers=form)
    assert unchosen.status_code == 201, unchosen.text
    assert unchosen.json()["picture"] is None


def test_more_uploads_than_room_are_told_to_ask_again(model: Path, tiny_dataset: Dataset, encoders: list[str]) -> None:
    with running(model, encoder=encoders, dataset=tiny_dataset.path, max_uploads=1) as served:
        wait_until_ready(served.client)
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: add(served.client, f"many {n}", picture("red")), range(6)))
        statuses = {answer.status_code for answer in answers}
        assert statuses == {201, 503}
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)


def test_items_added_by_another_program_are_taken_in(
    served: Running, model: Path, encoders: list[str], tmp_path: Path
) -> None:
    table = tmp_path / "new.csv"
    table.write_text("item_id,title,image\nother-1,from the command line,\n", encoding="utf-8")
    add_items(AddItemsJob(model=model, items=table, encoder=encoders, device="cpu"))
    until = time.monotonic() + 10
    while served.client.get("/items/other-1").status_code == 404:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_model_that_was_trained_anew_is_taken_in_without_a_failed_request(served: Running, model: Path) -> None:
    before = served.service.snapshot.version
    recommender = Recommender.from_pretrained(model)
    recommender.log_scale.data.mul_(0.9)
    body = {"history": ["i1"], "k": 3}
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(recommender.save_pretrained, model)
        until = time.monotonic() + 20
        while served.service.snapshot.version == before or not saving.done():
            assert served.client.post("/recommend", json=body).status_code == 200
            assert time.monotonic() < until
        saving.result()
    assert served.client.get("/readyz").json()["stale"] is None


def test_a_folder_that_is_gone_is_neither_made_anew_nor_looked_for_elsewhere(
    model: Path, tiny_dataset: Dataset, encoders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parents[1])
    relative = model.relative_to(model.parents[1])  # Of two parts, as hub ids have.
    options: dict[str, Any] = {"encoder": encoders, "dataset": tiny_dataset.path, "reload_seconds": 0.1}
    with running(relative, **options) as served:
        wait_until_ready(served.client)
        model.rename(model.with_name("away"))
        for answer in (add(served.client, "too late"), served.client.delete("/items/i1")):
            assert answer.status_code == 409
            assert "the model folder is gone" in answer.json()["detail"]
        assert not model.exists()
        until = time.monotonic() + 10
        while (stale := served.client.get("/readyz").json()["stale"]) is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert "the model folder is gone" in stale
        assert str(relative) not in stale
        assert served.client.post("/recommend", json={"history": ["i1"]}).status_code == 200
        model.with_name("away").rename(model)
        assert add(served.client, "in time").status_code == 201
        assert served.client.get("/readyz").json()["stale"] is None


def test_a_damaged_model_leaves_the_one_before(trained: TrainOutcome, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained.folder, folder)
    with running(folder, read_only=True, reload_seconds=0.1) as served:
        (folder / "model.safetensors").write_bytes(b"not tensors")
        until = time.monotonic() + 10
        while served.client.get("/readyz").json()["stale"] is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert served.client.post("/recommend", json={"history": ["i1"]}).status_code == 200
        assert "iisan_failed_reloads_total" in served.client.get("/metrics").text
