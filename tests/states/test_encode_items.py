from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from iisan.encoders import ImageEncoder, TextEncoder
from iisan.errors import UserError
from iisan.states import EncodeReport, HiddenStateStore, content_hash, describe_store, encode_items, verify_store
from tiny_encoders import pictures, texts

Make = Callable[..., TextEncoder]


def counts(report: EncodeReport) -> tuple[int, int, int, int, int]:
    return report.encoded, report.reused, report.missing, report.replaced, report.removed


def states_of(path: Path, ids: list[str]) -> torch.Tensor:
    store = HiddenStateStore.open(path)
    return store.gather(store.rows_of(ids))


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_the_store_holds_what_the_encoder_gives(pooling: str, text_encoder: Make, tmp_path: Path) -> None:
    encoder = text_encoder(pooling=pooling, batch_size=4)
    contents = texts(11)
    ids = [f"i{k}" for k in range(11)]
    report = encode_items(encoder, ids, contents, tmp_path / "s", dtype="float32", shard_rows=4)
    assert counts(report) == (11, 0, 0, 0, 0)
    store = HiddenStateStore.open(tmp_path / "s")
    assert store.item_ids == ids
    assert store.constant_taps == ([0] if pooling == "first" else [])
    expected = encoder.encode(contents)
    varying = [encoder.taps.index(tap) for tap in store.varying_taps]
    torch.testing.assert_close(store.gather(store.rows_of(ids)), expected[:, varying], rtol=1e-5, atol=1e-5)
    if pooling == "first":
        torch.testing.assert_close(store.constant, expected[0, :1])
    assert len(store.manifest.shards) == 3
    assert verify_store(tmp_path / "s").ok


def test_nothing_is_encoded_twice(text_encoder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = text_encoder()
    contents: list[str | None] = ["red toy", "blue book", None, "  ", "red toy"]
    assert counts(encode_items(encoder, list("abcde"), contents, tmp_path / "s")) == (2, 1, 2, 0, 0)
    files = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    seen: list[str] = []
    tokenise = encoder._tokenise
    monkeypatch.setattr(encoder, "_tokenise", lambda contents: seen.extend(contents) or tokenise(contents))
    assert counts(encode_items(encoder, list("abcde"), contents, tmp_path / "s")) == (0, 3, 2, 0, 0)
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == files
    # a new item, a new item with known content, a changed item, one that lost its content, one left out
    report = encode_items(encoder, list("abcfg"), ["red toy", None, None, "a lamp", "blue book"], tmp_path / "s")
    assert counts(report) == (1, 2, 2, 0, 1)
    assert set(seen) - set(encoder.probe_contents()) == {"a lamp"}
    store = HiddenStateStore.open(tmp_path / "s")
    assert sorted(store.item_ids) == list("aefg")
    assert describe_store(tmp_path / "s").rows == 3


def test_the_latest_content_wins(text_encoder: Make, tmp_path: Path) -> None:
    encoder = text_encoder(pooling="mean")
    encode_items(encoder, ["a", "b"], ["red toy", "blue book"], tmp_path / "s", dtype="float32")
    report = encode_items(encoder, ["a"], ["a green lamp"], tmp_path / "s", dtype="float32")
    assert counts(report) == (1, 0, 0, 1, 0)
    expected = encoder.encode(["a green lamp", "blue book"])
    torch.testing.assert_close(states_of(tmp_path / "s", ["a", "b"]), expected, rtol=1e-5, atol=1e-5)
    assert describe_store(tmp_path / "s").dead_rows == 1
    # back to the first content: its row is still there
    report = encode_items(encoder, ["a"], ["red toy"], tmp_path / "s", dtype="float32")
    assert counts(report) == (0, 1, 0, 1, 0)
    torch.testing.assert_close(states_of(tmp_path / "s", ["a"]), encoder.encode(["red toy"]), rtol=1e-5, atol=1e-5)
    assert verify_store(tmp_path / "s").ok


def test_pictures_are_known_by_their_bytes(
    image_encoder: ImageEncoder, picture_files: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(picture_files[0].read_bytes())
    contents = [*picture_files, copy]
    ids = [str(k) for k in range(10)]
    assert counts(encode_items(image_encoder, ids, contents, tmp_path / "s")) == (9, 1, 0, 0, 0)
    copy.write_bytes(pictures(tmp_path / "more", 1, seed=7)[0].read_bytes())
    assert counts(encode_items(image_encoder, ids, contents, tmp_path / "s")) == (1, 9, 0, 1, 0)
    states = states_of(tmp_path / "s", ids)
    assert not torch.equal(states[0], states[9])


def test_progress_ends_with_everything_done(text_encoder: Make, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    encode_items(
        text_encoder(batch_size=2),
        list("abcde"),
        texts(5),
        tmp_path / "s",
        shard_rows=3,
        progress=lambda *step: seen.append(step),
    )
    assert seen[-1] == (5, 5, "encode")
    assert [done for done, _, label in seen if label == "encode"] == [2, 3, 5]
    assert (5, 5, "hash") in seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": "mean"}, "pooling is first in the store and mean now"),
        ({"taps": [1, 2]}, "taps is"),
        ({"max_tokens": 9}, "max_tokens is 30 in the store and 9 now"),
    ],
)
def test_another_encoder_is_told_apart(
    change: dict[str, object], message: str, text_encoder: Make, tmp_path: Path
) -> None:
    encode_items(text_encoder(), ["a"], ["red toy"], tmp_path / "s")
    with pytest.raises(UserError, match=message):
        encode_items(text_encoder(**change), ["b"], ["blue toy"], tmp_path / "s")
    with pytest.raises(UserError, match="dtype is float16 in the store and float32 now"):
        encode_items(text_encoder(), ["b"], ["blue toy"], tmp_path / "s", dtype="float32")
    assert HiddenStateStore.open(tmp_path / "s").item_ids == ["a"]


def test_a_folder_with_other_things_is_left_alone(text_encoder: Make, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        encode_items(text_encoder(), ["a"], ["red toy"], tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_path_that_is_a_file(text_encoder: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        encode_items(text_encoder(), ["a"], ["red toy"], tmp_path / "file")
    with pytest.raises(UserError, match="a folder"):
        HiddenStateStore.open(tmp_path / "file")


def test_bad_items_are_refused(text_encoder: Make, image_encoder: ImageEncoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'a' occurs twice"):
        encode_items(text_encoder(), ["a", "a"], ["x", "y"], tmp_path / "s")
    with pytest.raises(ValueError, match="2 item ids, but 1 contents"):
        encode_items(text_encoder(), ["a", "b"], ["x"], tmp_path / "s")
    with pytest.raises(UserError, match=r"content of item 'a' cannot be read.*"):
        encode_items(image_encoder, ["a"], [tmp_path / "gone.png"], tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_content_hash_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes("é".encode())
    assert content_hash("é") == content_hash(tmp_path / "f")
    assert content_hash("é") == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"
    assert content_hash(None) is None
    assert content_hash(" \n") is None


def test_a_catalogue_without_any_content(text_encoder: Make, tmp_path: Path) -> None:
    assert counts(encode_items(text_encoder(), ["a", "b"], [None, ""], tmp_path / "s")) == (0, 0, 2, 0, 0)
    store = HiddenStateStore.open(tmp_path / "s")
    assert store.item_ids == []
    assert store.gather(store.rows_of([])).shape == (0, 4, 16)
