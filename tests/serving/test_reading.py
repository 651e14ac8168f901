"""What can be read over HTTP: recommendations, items, pictures, explanations, the map, the page."""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommender
from iisan.serving.thumbnails import Thumbnails
from tests.serving.running import Running, running

HISTORY = ["i1", "i2", "i4"]


@pytest.fixture(scope="module")
def served(trained: TrainOutcome) -> Iterator[Running]:
    with running(trained.folder, read_only=True, picture_side=16, max_history=8, max_k=20, max_batch=4) as found:
        yield found


@pytest.fixture(scope="module")
def model(trained: TrainOutcome) -> Recommender:
    return Recommender.from_pretrained(trained.folder)


def recommend(served: Running, **body: object) -> httpx.Response:
    return served.client.post("/recommend", json={"history": HISTORY, "k": 4, **body})


def problem(answer: httpx.Response, status: int) -> str:
    """The sentence of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    assert said["title"]
    assert said["detail"]
    assert "\n" not in said["detail"]
    return str(said["detail"])


def test_recommendations_are_those_of_the_library(served: Running, model: Recommender) -> None:
    answer = recommend(served).json()
    [expected] = model.recommend([HISTORY], 4)
    assert [one["item_id"] for one in answer["items"]] == [one.item_id for one in expected]
    assert [one["title"] for one in answer["items"]] == [one.title for one in expected]
    assert [one["score"] for one in answer["items"]] == pytest.approx([one.score for one in expected], rel=1e-4)
    assert answer["model_version"] == served.service.snapshot.version


def test_seen_items_come_back_where_asked_for(served: Running, model: Recommender) -> None:
    answer = recommend(served, exclude_seen=False, k=20).json()
    [expected] = model.recommend([HISTORY], 20, exclude_seen=False)
    assert {one["item_id"] for one in answer["items"]} == {one.item_id for one in expected} > set(HISTORY)


def test_filters_hold(served: Running) -> None:
    ids = [one["item_id"] for one in recommend(served, filters={"include": ["i5", "i6", "i7"]}).json()["items"]]
    assert sorted(ids) == ["i5", "i6", "i7"]
    left = recommend(served, filters={"include": ["i5", "i6"], "exclude": ["i6"]}).json()["items"]
    assert [one["item_id"] for one in left] == ["i5"]
    assert "attribute" in problem(recommend(served, filters={"attributes": {"color": ["red"]}}), 422)


def test_a_batch_is_its_requests(served: Running) -> None:
    bodies = [{"history": [f"i{row}"], "k": 3} for row in range(3)]
    answers = served.client.post("/recommend/batch", json={"requests": bodies}).json()["answers"]
    single = [served.client.post("/recommend", json=body).json() for body in bodies]
    assert [[one["item_id"] for one in answer["items"]] for answer in answers] == [
        [one["item_id"] for one in answer["items"]] for answer in single
    ]
    bad = [*bodies, {"history": ["nobody"]}]
    assert "'nobody'" in problem(served.client.post("/recommend/batch", json={"requests": bad}), 422)


def test_modalities_are_switched_off(served: Running) -> None:
    both = recommend(served, modalities=["image", "text"]).json()["items"]
    text = recommend(served, modalities=["text"], k=20)
    assert both == recommend(served).json()["items"]
    assert text.status_code == 200
    assert [one["score"] for one in text.json()["items"][:4]] != [one["score"] for one in both]
    problem(recommend(served, modalities=["smell"]), 422)
    problem(recommend(served, modalities=[]), 422)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"history": []}, "history"),
        ({"history": ["i1", "who"]}, "'who'"),
        ({"history": ["i1"] * 9}, "at most 8"),
        ({"k": 21}, "at most 20"),
        ({"k": 0}, "k"),
        ({"k": 1e400}, "k"),
        ({"surprise": 1}, "surprise"),
        ({"history": ["\ud800"]}, "history"),
        ({"filters": {"regex": "."}}, "filters.regex"),
    ],
)
def test_bad_requests_are_told_why(served: Running, body: dict[str, object], said: str) -> None:
    content = json.dumps({"history": HISTORY, "k": 4, **body})
    answer = served.client.post("/recommend", content=content, headers={"Content-Type": "application/json"})
    assert said in problem(answer, 422)


def test_what_is_no_json_is_told_so(served: Running) -> None:
    json_type = {"Content-Type": "application/json"}
    assert "no JSON" in problem(served.client.post("/recommend", content="{", headers=json_type), 400)
    assert "Content-Type" in problem(served.client.post("/recommend", content="{}"), 422)
    problem(served.client.post("/recommend", content="[" * 100_000, headers=json_type), 400)
    too_many = {"requests": [{"history": ["i1"]}] * 5}
    assert "at most 4" in problem(served.client.post("/recommend/batch", json=too_many), 422)


def test_an_item_and_its_picture(served: Running) -> None:
    item = served.client.get("/items/i1").json()
    assert item["item_id"] == "i1"
    assert item["recommendable"]
    picture = served.client.get(item["picture"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(picture.content)).size) <= 16
    again = served.client.get(item["picture"], headers={"If-None-Match": picture.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert served.client.get("/items/i3").json()["picture"] is None
    assert "no picture" in problem(served.client.get("/items/i3/picture"), 404)


@pytest.mark.parametrize("item_id", ["who", "a/b", "i1/picture", "../../etc/passwd", "ü?#%", " ", "%00", "\x00", "i1 "])
def test_ids_that_are_not_there(served: Running, item_id: str) -> None:
    for path in ("/items/{}", "/items/{}/picture", "/similar/{}"):
        problem(served.client.get(path.format(quote(item_id, safe=""))), 404)


def test_a_path_that_is_no_text(served: Running) -> None:
    problem(served.client.get("/items/%ff"), 404)
    problem(served.client.get("/items/"), 404)


def test_search(served: Running, model: Recommender) -> None:
    title = next(title for title in model.table.titles if title)
    found = served.client.get("/items", params={"query": title, "limit": 3}).json()["items"]
    assert found[0]["title"] == title
    assert len(served.client.get("/items", params={"limit": 5}).json()["items"]) == 5
    assert served.client.get("/items", params={"query": "zzzzzz"}).json()["items"] == []
    problem(served.client.get("/items", params={"limit": 101}), 422)
    problem(served.client.get("/items", params={"query": "x" * 201}), 422)


def test_similar_items(served: Running) -> None:
    found = served.client.get("/similar/i1", params={"k": 3}).json()["items"]
    assert len(found) == 3
    assert "i1" not in {one["item_id"] for one in found}
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    assert all(-1.001 <= one["score"] <= 1.001 for one in found)


def test_explanations_add_up(served: Running) -> None:
    answer = served.client.post("/explain", json={"history": HISTORY, "item_ids": ["i9"]}).json()
    [item] = answer["items"]
    parts = item["of_item"]
    assert {part["name"] for part in parts["parts"]} >= {"image", "text"}
    total = parts["base"] + parts["interplay"] + sum(part["alone"] for part in parts["parts"])
    assert total == pytest.approx(item["score"], abs=1e-4)
    assert [one["item_id"] for one in item["history"]] == HISTORY
    assert answer["gates"]
    inline = recommend(served, explain=True).json()
    assert [one["item_id"] for one in inline["explanation"]["items"]] == [one["item_id"] for one in inline["items"]]
    problem(served.client.post("/explain", json={"history": HISTORY, "item_ids": ["who"]}), 422)


def test_the_map(served: Running) -> None:
    answer = served.client.get("/map", params={"item_id": ["i1", "who"]})
    drawn = answer.json()
    assert drawn["n_items"] == len(drawn["points"]) > 15
    assert all(-1 <= x <= 1 and -1 <= y <= 1 for x, y, _ in drawn["points"])
    assert [point for point in drawn["points"] if point[2] == "i1"] == drawn["placed"]
    again = served.client.get(
        "/map", params={"item_id": ["i1", "who"]}, headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


def test_facts_health_and_metrics(served: Running) -> None:
    about = served.client.get("/about").json()
    assert about["modalities"] == {"image": "image", "text": "text"}
    assert about["n_items"] == 24
    assert not about["can_add"]
    assert about["has_states"]
    assert served.client.get("/healthz").json() == {"status": "ok"}
    ready = served.client.get("/readyz").json()
    assert ready["ready"]
    assert ready["index"]["recall"] == 1.0
    recommend(served)
    served.client.get("/items/who")
    text = served.client.get("/metrics").text
    assert 'iisan_http_requests_total{method="POST",route="/recommend",status="200"}' in text
    assert 'iisan_http_requests_total{method="GET",route="/items/{item_id}",status="404"}' in text
    assert "iisan_items 24.0" in text
    assert "who" not in text


def test_routes_that_are_not_there_are_problems_and_no_labels(served: Running) -> None:
    problem(served.client.get("/nothing/of/the/kind"), 404)
    answer = served.client.delete("/recommend")
    assert "POST" in answer.headers["allow"]
    problem(answer, 405)
    assert "/nothing" not in served.client.get("/metrics").text
    assert served.client.get("/docs").status_code == 404


def test_every_answer_has_the_security_headers(served: Running) -> None:
    for path in ("/", "/about", "/nothing", "/items/i1/picture", "/metrics", "/openapi.json"):
        headers = served.client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_the_page_and_nothing_beside_it(served: Running) -> None:
    page = served.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert served.client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    assert served.client.head("/").headers["content-length"] == str(len(page.content))
    script = served.client.get("/page/api.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    paths = ("/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page//etc/passwd", "/page/", "/page/.")
    for path in paths:
        # httpx would tidy these up.
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
        connection.request("GET", path)
        assert connection.getresponse().status == 404
        connection.close()


def test_the_schema_has_examples_that_work(served: Running, trained: TrainOutcome) -> None:
    schema = served.client.get("/openapi.json").json()
    assert {"/recommend", "/recommend/batch", "/items", "/items/{item_id}", "/similar/{item_id}"} <= set(
        schema["paths"]
    )
    for name in ("RecommendBody", "BatchBody", "ExplainBody"):
        assert schema["components"]["schemas"][name]["examples"]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)
            assert "431" in operation["responses"], (path, method)
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")):
                    assert set(answer["content"]) == {"application/problem+json"}, (path, method, status)


def test_a_picture_that_cannot_be_decoded_is_no_picture(trained: TrainOutcome, tmp_path: Path) -> None:
    thumbnails = Thumbnails(16, 10_000)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    assert thumbnails.of(broken) is None
    assert thumbnails.of(tmp_path / "absent.jpg") is None
    huge = tmp_path / "huge.png"
    Image.new("1", (10_000, 9_000)).save(huge)
    assert thumbnails.of(huge) is None


def test_thumbnails_are_kept_within_their_bytes(tmp_path: Path) -> None:
    paths = []
    for number in range(6):
        paths.append(tmp_path / f"{number}.png")
        Image.effect_noise((64, 64), 50 + number).save(paths[-1])
    sizes = [len(one.content) for path in paths if (one := Thumbnails(32, 0).of(path))]
    thumbnails = Thumbnails(32, sum(sizes[-2:]) + 1)
    for path in paths:
        assert thumbnails.of(path) is not None
    assert [Path(key[0]).name for key in thumbnails._kept] == ["4.png", "5.png"]
    assert thumbnails._bytes == sum(sizes[-2:])
    kept = thumbnails.of(paths[5])
    assert kept is thumbnails.of(paths[5])


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "said"),
    [
        ("GET", "/nothing", b"", 404, "no such route"),
        ("PUT", "/items", b"", 405, "does not take this method"),
        ("POST", "/recommend", b'{"history": ["\xff"]}', 400, "no JSON that can be read"),
        ("POST", "/recommend", b"[" * 100_000, 400, "no JSON that can be read"),
    ],
)
def test_the_framework_speaks_in_sentences_too(
    served: Running, method: str, path: str, content: bytes, status: int, said: str
) -> None:
    headers = {"Content-Type": "application/json"}
    assert said in problem(served.client.request(method, path, content=content, headers=headers), status)


def test_the_time_of_an_answer_holds_for_its_explanations(trained: TrainOutcome) -> None:
    with running(trained.folder, read_only=True, answer_seconds=0.5) as served:
        body = {"requests": [{"history": HISTORY, "k": 20, "explain": True}] * 256}
        began = time.monotonic()
        assert "took too long" in problem(served.client.post("/recommend/batch", json=body), 503)
        assert time.monotonic() - began < 3
