"""Export vectors: item embeddings, and user states of given histories, as Parquet for vector databases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

import iisan
from iisan.data.dataset import Dataset
from iisan.data.media import Progress
from iisan.errors import UserError
from iisan.jobs.evaluate import load_recommender
from iisan.jobs.export.item_attributes import ItemAttributes
from iisan.jobs.export.source_model import refuse_within, source_folder
from iisan.jobs.export.vector_file import ROWS_AT_ONCE, vector_column, vector_type, write_parts
from iisan.jobs.histories import History, read_histories
from iisan.jobs.output_file import output_file
from iisan.jobs.recommend import SHOWN_PROBLEMS, known_histories
from iisan.models.additions import Additions
from iisan.models.item_table import ItemTable
from iisan.models.recommender import Recommender
from iisan.training.device import resolve_device

ITEM_FIELDS = {"item_id": pa.string(), "title": pa.string(), "recommendable": pa.bool_()}
USER_FIELDS = {"user_id": pa.string(), "history": pa.list_(pa.string())}
VECTOR = "embedding"
Which = Literal["all", "recommendable"]
# Histories that pass the sequence encoder at once.
HISTORIES_AT_ONCE = 1024


class ExportVectorsJob(BaseModel):
    """Which vectors to export, and where to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Model folder, run folder or hub id")
    output: Path = Field(description="Parquet file to make for the items")
    items: Which = Field("all", description="Which items: all, or those that may be offered")
    dataset: Path | None = Field(None, description="Dataset folder, for the attributes of its items")
    attributes: list[str] = Field([], description="An attribute to take; by default all")
    histories: Path | None = Field(
        None, description="File of histories whose user vectors to export: .jsonl, .parquet, or lines of user<TAB>ids"
    )
    users: Path | None = Field(
        None, description="Parquet file to make for the user vectors; by default NAME-users.parquet beside the items"
    )
    overwrite: bool = Field(False, description="Replace files that are there")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")

    @model_validator(mode="after")
    def _users_of_histories(self) -> ExportVectorsJob:
        if self.users is not None and self.histories is None:
            raise ValueError("a file of users needs histories")
        if self.users is not None and self.users.absolute() == self.output.absolute():
            raise ValueError("items and users need a file each")
        return self

    @property
    def users_file(self) -> Path | None:
        """Where the user vectors go, None where none are asked for."""
        if self.histories is None:
            return None
        return self.users or self.output.with_name(f"{self.output.stem}-users.parquet")


@dataclass(frozen=True)
class VectorsExport:
    """Exported vectors.

    Attributes:
        items: File of the items.
        n_items: How many are in it.
        users: File of the users, None where no histories were given.
        n_users: How many are in it.
        problems: One line for each unknown id and each history that was left out.
    """

    items: Path
    n_items: int
    users: Path | None
    n_users: int
    problems: list[str]


def export_vectors(job: ExportVectorsJob, progress: Progress | None = None) -> VectorsExport:
    """Writes item embeddings, and user states of given histories; inner products of the two are the model's scores.

    Args:
        job: What to write.
        progress: Called as ``(done, total, label)``.

    Raises:
        UserError: The model, the dataset or the histories cannot be read, something is at an output already, or it
            cannot be written.
    """
    folder = source_folder(job.model)
    for path in (job.output, job.users_file):
        if path is not None:
            refuse_within(path, folder)
            _refuse_existing(path, overwrite=job.overwrite)
    model = load_recommender(str(folder))
    histories, problems = _served(model, job.histories)
    attributes = ItemAttributes(
        model.table, None if job.dataset is None else Dataset.open(job.dataset), tuple(job.attributes)
    )
    _refuse_taken_names(attributes)
    metadata = _metadata(model, Additions(folder).fingerprint())
    with contextlib.ExitStack() as files:
        # Both are complete before either is put in place.
        items = files.enter_context(output_file(job.output))
        n_items = _write_items(items, model.table, job.items, attributes, metadata, progress)
        if job.users_file is not None:
            users = files.enter_context(output_file(job.users_file))
            _write_users(users, model.to(resolve_device(job.device)), histories, metadata, progress)
    return VectorsExport(job.output, n_items, job.users_file, len(histories), problems)


def _refuse_existing(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise UserError("this is a folder", where=str(path), how="name a file, such as vectors.parquet")
    if path.exists() and not overwrite:
        raise UserError("the file exists already", where=str(path), how="choose another name or overwrite it")


def _served(model: Recommender, path: Path | None) -> tuple[list[History], list[str]]:
    if path is None:
        return [], []
    served, problems = known_histories(model, read_histories(path))
    if not served:
        what = "; ".join(problems[:SHOWN_PROBLEMS]) or "there is no history"
        raise UserError(what, where=str(path), how="give at least one item id that the model knows")
    return served, problems


def _refuse_taken_names(attributes: ItemAttributes) -> None:
    taken = sorted({*ITEM_FIELDS, VECTOR} & set(attributes.names))
    if taken:
        raise UserError(
            f"attribute {taken[0]!r} is named like a column of the export",
            where="option --attributes",
            how="name the attributes to take, without this one",
        )


def _metadata(model: Recommender, sha256: str) -> dict[str, str]:
    return {
        "iisan.version": iisan.__version__,
        "iisan.weights_sha256": sha256,
        "iisan.dim": str(model.config.item_encoder.dim),
        "iisan.score": "inner product of a user's and an item's embedding",
    }


def _write_items(
    path: Path,
    table: ItemTable,
    which: Which,
    attributes: ItemAttributes,
    metadata: dict[str, str],
    progress: Progress | None,
) -> int:
    of_attributes = {name: pa.string() for name in attributes.names}
    fields = {**ITEM_FIELDS, **of_attributes, VECTOR: vector_type(table.embeddings.shape[1])}
    schema = pa.schema(fields.items(), metadata=metadata)

    def parts() -> Iterator[pa.Table]:
        for start in range(0, len(table), ROWS_AT_ONCE):
            part = _item_part(table, start, attributes, schema)
            yield part if which == "all" else part.filter(part["recommendable"])
            if progress is not None:
                progress(min(start + ROWS_AT_ONCE, len(table)), len(table), "items")

    write_parts(path, schema, parts())
    return len(table) if which == "all" else int(table.recommendable.sum())


def _item_part(table: ItemTable, start: int, attributes: ItemAttributes, schema: pa.Schema) -> pa.Table:
    stop = min(start + ROWS_AT_ONCE, len(table))
    columns = [
        pa.array(table.item_ids[start:stop], pa.string()),
        pa.array(table.titles[start:stop], pa.string()),
        pa.array(table.recommendable[start:stop].cpu().numpy(), pa.bool_()),
        *attributes.columns(start, stop).values(),
        vector_column(table.embeddings[start:stop]),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _write_users(
    path: Path, model: Recommender, histories: Sequence[History], metadata: dict[str, str], progress: Progress | None
) -> None:
    fields = {**USER_FIELDS, VECTOR: vector_type(model.config.item_encoder.dim)}
    schema = pa.schema(fields.items(), metadata=metadata)

    embeddings = model.table.embeddings.to(model.device)

    def parts() -> Iterator[pa.Table]:
        for start in range(0, len(histories), HISTORIES_AT_ONCE):
            chosen = histories[start : start + HISTORIES_AT_ONCE]
            with torch.inference_mode():
                vectors = model.last_states([model.known_rows(history.items) for history in chosen], embeddings)
            columns = [
                pa.array([history.user_id for history in chosen], pa.string()),
                pa.array([history.items for history in chosen], USER_FIELDS["history"]),
                vector_column(vectors),
            ]
            yield pa.Table.from_arrays(columns, schema=schema)
            if progress is not None:
                progress(start + len(chosen), len(histories), "users")

    write_parts(path, schema, parts())
