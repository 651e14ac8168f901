"""Checkpoints in the layout of the authors' implementation, and files that are none."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.evaluate import EvaluateJob, evaluate_model
from iisan.jobs.import_checkpoint import ImportCheckpointJob, import_checkpoint
from iisan.models.recommender import Recommender
from iisan.states.cached_source import CachedSource
from iisan.states.store import HiddenStateStore
from tests.conftest import N_ITEMS, NO_CONTENT, NO_PICTURE, NO_TEXT
from tests.reference_layout import reference_items, reference_weights

ARGUMENTS: dict[str, Any] = {
    "text_layers": "1,3",
    "image_layers": "1,3",
    "text_width": 16,
    "image_width": 16,
    "dim": 8,
    "max_length": 6,
    "n_layers": 1,
    "n_heads": 2,
}


def saved(folder: Path, form: str) -> Path:
    weights = reference_weights()
    path = folder / ("checkpoint.safetensors" if form == "safetensors" else "checkpoint.pt")
    if form == "safetensors":
        save_file({name: value.contiguous() for name, value in weights.items()}, path)
    elif form == "pt":
        torch.save(weights, path)
    else:  # as a distributed run saves it, beside other tensors and the optimiser's
        state = {f"module.{name}": value for name, value in weights.items()}
        state["module.text_encoder.embeddings.weight"] = torch.zeros(3, 3)
        torch.save({"model_state_dict": state, "optimizer": {"step": torch.tensor(3)}, "epoch": 7}, path)
    return path


@pytest.mark.parametrize("form", ["safetensors", "pt", "pt of a training run"])
def test_it_computes_what_the_authors_code_does(tmp_path: Path, tiny_dataset: Dataset, form: str) -> None:
    job = ImportCheckpointJob(
        checkpoint=saved(tmp_path, form), output=tmp_path / "model", dataset=tiny_dataset.path, **ARGUMENTS
    )
    import_checkpoint(job)
    model = Recommender.from_pretrained(tmp_path / "model")
    stores = {name: HiddenStateStore.open(tiny_dataset.path / "states" / name) for name in ("image", "text")}
    complete = torch.tensor([row for row in range(N_ITEMS) if row not in NO_PICTURE | NO_TEXT])
    states = CachedSource(stores, tiny_dataset.item_ids).gather(complete)
    taps = {name: [tap.expand(len(complete), -1) for tap in state.taps] for name, state in states.items()}
    wanted = reference_items(reference_weights(), taps)
    torch.testing.assert_close(model.table.embeddings[complete], wanted, atol=1e-4, rtol=1e-4)
    offered = {item.item_id for item in model.recommend([["i0", "i1"]], k=N_ITEMS, exclude_seen=False)[0]}
    assert offered == {f"i{row}" for row in range(N_ITEMS) if row not in NO_CONTENT}
    assert model.details["imported_from"] == job.checkpoint.name
    # Evaluated as the paper does: the last 13, and only items that occur in them.
    evaluated = evaluate_model(EvaluateJob(model=str(tmp_path / "model"), dataset=tiny_dataset.path))
    assert 0 < evaluated.model.metrics["paper"]["MRR"] < 1
    assert model.details["training"] == {"min_interactions": 5, "keep_last": 13, "catalogue": "interacted"}


def test_arguments_in_the_file_win(tmp_path: Path) -> None:
    found = {
        "side_adapter_bert_list": "1,3",
        "side_adapter_vit_list": "1,3",
        "text_embedding_dim": "16",
        "image_embedding_dim": "16",
        "embedding_dim": "8",
        "max_seq_len": "6",
        "transformer_block": "1",
        "num_attention_heads": "2",
        "drop_rate": "0.3",
    }
    save_file(reference_weights(), tmp_path / "c.safetensors", metadata=found)
    model = import_checkpoint(ImportCheckpointJob(checkpoint=tmp_path / "c.safetensors", output=tmp_path / "model"))
    assert model.config.sequence_encoder.dropout == 0.3
    assert model.max_length == 6
    assert Recommender.from_pretrained(tmp_path / "model").item_table is None


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    "form", ["torch", "pickle", "truncated", "truncated legacy", "garbage", "empty", "safetensors garbage", "folder"]
)
def test_a_file_that_needs_code_or_is_none_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, mark = tmp_path / ("c.safetensors" if "safetensors" in form else "c.pt"), tmp_path / "was-here"
    if form == "torch":
        torch.save({"weights": torch.zeros(2), "extra": Bomb(mark)}, path)
    elif form == "pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    elif form.startswith("truncated"):
        torch.save(reference_weights(), path, _use_new_zipfile_serialization="legacy" not in form)
        path.write_bytes(path.read_bytes()[:-100])
    elif form == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"" if form == "empty" else b"\x80\x04garbage" * 40)
    with pytest.raises(UserError, match=r"without running code|no such file"):
        import_checkpoint(ImportCheckpointJob(checkpoint=path, output=tmp_path / "model", **ARGUMENTS))
    assert not mark.exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 16}, "do not fit the arguments"),
        ({"text_width": 32}, "do not fit the arguments.*dtl.text"),
        ({"max_length": 9}, "do not fit the arguments.*size mismatch"),
        ({"n_layers": 2}, "do not fit the arguments"),
        ({"n_heads": 3}, "not a multiple of n_heads"),
        ({"text_layers": "1,3,5,7"}, "3 blocks do not fit the layer list"),
    ],
)
def test_arguments_that_do_not_fit_are_one_error(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    job = ImportCheckpointJob(checkpoint=saved(tmp_path, "pt"), output=tmp_path / "model", **{**ARGUMENTS, **change})
    with pytest.raises(UserError, match=message) as error:
        import_checkpoint(job)
    assert len(str(error.value)) < 800
    assert not (tmp_path / "model").exists()


def test_a_state_dict_of_something_else(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "other.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    torch.save({3: torch.zeros(2)}, tmp_path / "numbers.pt")
    for name, message in (("other.pt", "do not fit"), ("list.pt", "no state_dict"), ("numbers.pt", "no state_dict")):
        with pytest.raises(UserError, match=message):
            import_checkpoint(ImportCheckpointJob(checkpoint=tmp_path / name, output=tmp_path / "model", **ARGUMENTS))


def test_states_of_other_taps_are_refused(
    tmp_path: Path, tiny_dataset: Dataset, encode_job: Callable[..., EncodeJob]
) -> None:
    encode_dataset(encode_job(tiny_dataset.path, states=tmp_path / "states", taps=[0, 1, 4]))
    job = ImportCheckpointJob(
        checkpoint=saved(tmp_path, "pt"),
        output=tmp_path / "model",
        dataset=tiny_dataset.path,
        states=tmp_path / "states",
        **ARGUMENTS,
    )
    with pytest.raises(UserError, match=r"the store has taps \[0, 1, 4\].*reads \[0, 2, 4\]"):
        import_checkpoint(job)
    assert not (tmp_path / "model").exists()


def test_states_that_are_absent_name_the_command(tmp_path: Path, bare_dataset: Path) -> None:
    job = ImportCheckpointJob(
        checkpoint=saved(tmp_path, "pt"), output=tmp_path / "model", dataset=bare_dataset, **ARGUMENTS
    )
    with pytest.raises(UserError, match="is not encoded; run `iisan encode"):
        import_checkpoint(job)


def test_other_pooling_is_said(tmp_path: Path, tiny_dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    job = ImportCheckpointJob(
        checkpoint=saved(tmp_path, "pt"), output=tmp_path / "model", dataset=tiny_dataset.path, **ARGUMENTS
    )
    with caplog.at_level(logging.WARNING):
        import_checkpoint(job)
    assert "pooled by 'mean', the authors' code reads the first token" in caplog.text


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    job = ImportCheckpointJob(checkpoint=saved(tmp_path, "pt"), output=tmp_path / "model", **ARGUMENTS)
    with pytest.raises(UserError, match="there is something already"):
        import_checkpoint(job)
    assert list((tmp_path / "model").iterdir()) == []
