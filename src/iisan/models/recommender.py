"""The whole model: item encoder, sequence encoder and item table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from iisan.encoders.hub_snapshot import hub_snapshot
from iisan.errors import UserError
from iisan.models.additions import Additions
from iisan.models.config import RecommenderConfig
from iisan.models.file_names import CONFIG, PICTURES, WEIGHTS
from iisan.models.item_encoder import build_item_encoder
from iisan.models.item_table import ItemTable
from iisan.models.model_card import model_card_text
from iisan.models.own_vectors import OwnVectors
from iisan.models.sasrec import Sasrec
from iisan.models.score_blocks import BestItems, score_blocks
from iisan.models.whitened_source import WhitenedSource
from iisan.models.whitening import Whitening
from iisan.states.atomic import replacing
from iisan.states.prefetched_source import one_ahead
from iisan.states.sources import ItemStates, StateSource
from iisan.states.tensor_file import save_tensors

FORMAT_VERSION = 1
# Where encoders that are tuned with the model hang; they are saved by their method, not with the model.
ENCODERS = "encoders"
# The cosine's scale is not learned beyond this (Radford et al. 2021 bound it so in CLIP).
LARGEST_SCALE = 100.0
# Items a pass of the item encoder on the CPU: what the towers make of them stays in its cache, and the allocator reuses
# its buffers instead of asking the system for fresh pages. 512 take a quarter less than 4096.
CPU_CHUNK = 512
# Files of a model that are downloaded.
HUB_PATTERNS = ["*.json", "*.safetensors", "*.parquet", f"{PICTURES}/*.jpg"]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item_id: Its id.
        title: Its title, None where it has none.
        score: Inner product of the user state and the item embedding; comparable within one list only.
    """

    item_id: str
    title: str | None
    score: float


class Recommender(
    nn.Module,
    ModelHubMixin,
    library_name="iisan",
    tags=["recommender-system", "sequential-recommendation", "multimodal"],
    paper_url="https://arxiv.org/abs/2404.02059",
):
    """A next-item recommender.

    ``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` come from ``huggingface_hub``; only JSON, safetensors,
    Parquet and, of items that were added, small JPEG pictures are written and read.

    Args:
        config: What the model is made of, or the same as plain data.
        details: JSON-able facts that travel with the model: the identity of each modality's encoder, the training
            configuration, metrics.
    """

    # Set for the hub mixin, which would otherwise try to write the constructor's arguments itself.
    _hub_mixin_config: dict[str, Any] = {}  # noqa: RUF012

    def __init__(
        self, config: RecommenderConfig | Mapping[str, Any], *, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.config = RecommenderConfig.model_validate(config)
        self.details: dict[str, Any] = dict(details or {})
        self.item_encoder = build_item_encoder(self.config.item_encoder)
        self.sequence_encoder = Sasrec(self.config.sequence_encoder)
        self.whitening = nn.ModuleDict(
            {name: Whitening(shape.n_taps, shape.width) for name, shape in self.config.whitening.items()}
        )
        self.own: OwnVectors | None = None
        if self.config.own_items is not None:
            self.own = OwnVectors(self.config.own_items, self.config.item_encoder.dim, self.config.own_dropout)
        self.log_scale: nn.Parameter | None = None
        if self.config.similarity == "cosine":
            self.log_scale = nn.Parameter(torch.tensor(-math.log(self.config.temperature)))
        self.encoders: nn.ModuleDict | None = None
        self.item_table: ItemTable | None = None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def max_length(self) -> int:
        """``L``, the longest history that the model sees."""
        return self.config.sequence_encoder.max_length

    def forward(self, states: Mapping[str, ItemStates], rows: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Embeds a batch's distinct items and runs the sequence encoder over its histories.

        Args:
            states: Hidden states of the ``n`` distinct items.
            rows: ``[n]`` their catalogue rows.
            slots: ``[B, L]`` index into them plus one, right-aligned, 0 at padding.

        Returns:
            Item embeddings ``[n, d]`` and user states ``[B, L, d]`` (meaningless at padding).
        """
        items = self.item_embeddings(states, rows)
        return items, self.user_states(items, slots)

    def item_embeddings(self, states: Mapping[str, ItemStates], rows: Tensor) -> Tensor:
        """Item embeddings ``[n, d]``; of length 1 where the similarity is the cosine."""
        return self.item_embeddings_with(states, rows, None if self.own is None else self.own(rows))

    def item_embeddings_with(self, states: Mapping[str, ItemStates], rows: Tensor | None, own: Tensor | None) -> Tensor:
        """Item embeddings ``[n, d]`` as in :meth:`item_embeddings`, with given own vectors.

        Args:
            states: Hidden states of the ``n`` items.
            rows: ``[n]`` their catalogue rows; read by a model of item ids only.
            own: ``[n, d]`` what is added to what their content says, None for nothing.
        """
        if self.whitening:
            states = {name: self._whitened(name, state) for name, state in states.items()}
        items: Tensor = self.item_encoder(states, rows)
        if own is not None:
            items = items + own
        return items if self.log_scale is None else nn.functional.normalize(items.float(), dim=-1)

    def user_states(self, items: Tensor, slots: Tensor) -> Tensor:
        """User states ``[B, L, d]`` from item embeddings ``[n, d]`` and `slots` as in :meth:`forward`.

        Their inner products with the items are the logits: where the similarity is the cosine, the learned scale (at
        most 100) is in the user states.
        """
        return self.states_after(*_histories(items, slots))

    def states_after(self, histories: Tensor, real: Tensor) -> Tensor:
        """User states ``[B, L, d]`` as in :meth:`user_states`, from the embeddings of the histories themselves.

        Args:
            histories: ``[B, L, d]`` item embeddings, right-aligned, finite at padding.
            real: ``[B, L]`` bool, False at padding.
        """
        return self._scaled(self.sequence_encoder(histories, real))

    def states_at_end(self, items: Tensor, slots: Tensor) -> Tensor:
        """User states ``[B, d]`` after whole histories: the last of :meth:`user_states`, at less cost.

        Args:
            items: ``[n, d]`` item embeddings.
            slots: ``[B, L]`` as in :meth:`forward`, none of them padding throughout.
        """
        return self._scaled(self.sequence_encoder.last(*_histories(items, slots)))

    def _scaled(self, states: Tensor) -> Tensor:
        """The inner products of what this gives with the items are the logits."""
        if self.log_scale is None:
            return states
        if self.training:  # A clamp of the product would leave a scale that is once too large without a gradient.
            self.log_scale.data.clamp_(max=math.log(LARGEST_SCALE))
        return nn.functional.normalize(states.float(), dim=-1) * self.log_scale.exp()

    def fit_whitening(self, source: StateSource, rows: Tensor | None = None) -> None:
        """Sets the whitening, if the model has one, before training.

        Args:
            source: Hidden states by catalogue row.
            rows: ``[n]`` catalogue rows whose states it goes by; the whole catalogue by default.
        """
        for name, whitening in self._whitenings().items():
            whitening.fit(source, name, rows=rows)

    def prepared(self, source: StateSource) -> StateSource:
        """The same source with the model's whitening done once and for all, where there is one."""
        return WhitenedSource(source, self._whitenings(), self.device) if self.whitening else source

    def _whitened(self, name: str, states: ItemStates) -> ItemStates:
        whitened: ItemStates = self.whitening[name](states) if name in self.whitening else states
        return whitened

    def _whitenings(self) -> dict[str, Whitening]:
        return {name: part for name, part in self.whitening.items() if isinstance(part, Whitening)}

    @torch.inference_mode()
    def embed_items(
        self,
        source: StateSource,
        rows: Tensor | None = None,
        chunk: int = 4096,
        *,
        catalogue_rows: Tensor | None = None,
    ) -> Tensor:
        """Item embeddings in evaluation mode, some items at a time.

        Args:
            source: Hidden states by row, on the model's device.
            rows: ``[n]`` rows of the source; all of them by default.
            chunk: Items a pass at most; bounds the memory. On the CPU it is never more than 512.
            catalogue_rows: ``[n]`` rows of the same items in the model's catalogue, which say what vector of its own
                an item has; by default `rows`. A row beyond those trained on stands for an item that has none.

        Returns:
            ``[n, d]`` fp32 on the model's device.

        Raises:
            UserError: Items have vectors of their own, and the source is taken for the catalogue but is smaller.
        """
        if catalogue_rows is None and self.own is not None and source.n_items < self.own.table.num_embeddings:
            raise UserError(
                f"the catalogue has {source.n_items} items, the model learned {self.own.table.num_embeddings}",
                how="use the catalogue that it was trained on",
            )
        rows = torch.arange(source.n_items) if rows is None else rows
        catalogue_rows = rows if catalogue_rows is None else catalogue_rows
        chunk = min(chunk, CPU_CHUNK) if self.device.type == "cpu" else chunk
        training = self.training
        self.eval()
        embeddings = torch.empty(len(rows), self.config.item_encoder.dim, device=self.device)
        with closing(one_ahead(source, torch.split(rows, chunk) if len(rows) else ())) as parts:
            for number, part in enumerate(parts):
                place = slice(number * chunk, (number + 1) * chunk)
                its_rows = catalogue_rows[place].to(self.device)
                embeddings[place] = self.item_embeddings(source.gather(part), its_rows)
        self.train(training)
        return embeddings

    def recommend(
        self, histories: Sequence[Sequence[str]], k: int = 10, *, exclude_seen: bool = True, batch_size: int = 256
    ) -> list[list[Recommendation]]:
        """The top items after each history.

        Args:
            histories: Item ids, oldest first; only the last ``L`` are read.
            k: Number of items a list, at least 1; it is shorter where the catalogue has fewer.
            exclude_seen: Leave out every item of the history, also those older than ``L``.
            batch_size: Histories a pass.

        Returns:
            A list for each history, best first.

        Raises:
            UserError: An id that the model does not know, an empty history, or a `k` below 1.
        """
        if k < 1:
            raise UserError(f"{k} items cannot be recommended", how="ask for 1 or more")
        rows = [self.known_rows(history) for history in histories]
        lists: list[list[Recommendation]] = []
        for start in range(0, len(rows), batch_size):
            lists.extend(self._recommend_batch(rows[start : start + batch_size], k, exclude_seen))
        return lists

    def known_rows(self, history: Sequence[str]) -> list[int]:
        """Catalogue rows of a history's ids.

        Raises:
            UserError: An id that is not in the item table, or an empty history.
        """
        table = self.table
        if not history:
            raise UserError("a history is empty", how="give at least one item id")
        rows = [table.row(item_id) for item_id in history]
        if None in rows:
            unknown = history[rows.index(None)]
            raise UserError(f"item {unknown!r} is not in the model's catalogue", how="check the id, or leave it out")
        return [row for row in rows if row is not None]

    @property
    def table(self) -> ItemTable:
        """The item table.

        Raises:
            UserError: The model has none, so it cannot recommend.
        """
        if self.item_table is None:
            raise UserError("the model has no item table", how="train it with `iisan train`, which makes one")
        return self.item_table

    @torch.inference_mode()
    def score(self, histories: Sequence[Sequence[int]]) -> Tensor:
        """Scores of the whole catalogue ``[B, N]`` after histories of catalogue rows, oldest first."""
        embeddings = self.table.embeddings.to(self.device)
        return self.last_states(histories, embeddings) @ embeddings.T

    def last_states(self, histories: Sequence[Sequence[int]], embeddings: Tensor) -> Tensor:
        """User states ``[B, d]`` after histories of catalogue rows, oldest first, none of them empty.

        Args:
            histories: ``B`` histories; only the last ``L`` items of each are read.
            embeddings: ``[N, d]`` of the catalogue, on the model's device.
        """
        length = min(self.max_length, max(len(history) for history in histories))
        slots = torch.zeros(len(histories), length, dtype=torch.long)
        for line, history in zip(slots, histories, strict=True):
            recent = torch.tensor(history[-length:]) + 1
            line[length - len(recent) :] = recent
        training = self.training
        self.eval()
        states = self.states_at_end(embeddings, slots.to(self.device))
        self.train(training)
        return states

    @torch.inference_mode()
    def _recommend_batch(
        self, histories: Sequence[Sequence[int]], k: int, exclude_seen: bool
    ) -> list[list[Recommendation]]:
        table = self.table
        embeddings = table.embeddings.to(self.device)
        states = self.last_states(histories, embeddings)
        best = BestItems(len(histories), min(k, len(table)), self.device)
        left_out = _pairs(histories if exclude_seen else [], self.device)
        for start, scores in score_blocks(states, embeddings, table.recommendable.to(self.device), left_out):
            best.take(start, scores)
        return [
            [
                Recommendation(table.item_ids[row], table.titles[row], value)
                for value, row in zip(values, rows, strict=True)
                if row >= 0
            ]
            for values, rows in zip(best.scores.tolist(), best.rows.tolist(), strict=True)
        ]

    def _own_state(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.state_dict().items() if not name.startswith(f"{ENCODERS}.")}

    def _save_pretrained(self, save_directory: Path) -> None:
        config = {"format_version": FORMAT_VERSION, **self.config.model_dump(), "details": self.details}
        (save_directory / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        # By renaming: the file that is there may be mapped into memory.
        with replacing(save_directory / WEIGHTS) as draft:
            save_tensors(self._own_state(), draft, {"format": "pt"})
        if self.item_table is not None:
            self.item_table.save(save_directory)
            Additions(save_directory).drop_absorbed(self.item_table.last_addition)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> Recommender:
        """Loads what :meth:`save_pretrained` wrote, in evaluation mode, on the CPU.

        Args:
            pretrained_model_name_or_path: A folder, or the id of a model on the Hugging Face hub.
            force_download: Download again what is in the cache.
            token: For a private model; that of ``hf auth login`` by default.
            cache_dir: Folder of the hub's cache.
            local_files_only: Look into the cache only.
            revision: Branch, tag or commit on the hub.
            **model_kwargs: None are known.

        Raises:
            UserError: There is no such model, or it is damaged or of a newer version.
        """
        if model_kwargs:
            raise TypeError(f"from_pretrained() got an unexpected argument {next(iter(model_kwargs))!r}")
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            folder = hub_snapshot(
                str(pretrained_model_name_or_path),
                revision=revision,
                allow_patterns=HUB_PATTERNS,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        return _read_model(cls, folder)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The model card, with what the model was made of and how it scored."""
        return ModelCard(model_card_text(self.config, self.details, n_items=len(self.item_table or ())))


def _pairs(histories: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """All (history, catalogue row) of some histories, int64."""
    users = [number for number, history in enumerate(histories) for _ in history]
    rows = [row for history in histories for row in history]
    return torch.tensor(users, dtype=torch.long, device=device), torch.tensor(rows, dtype=torch.long, device=device)


def _read_model(kind: type[Recommender], folder: Path) -> Recommender:
    data = _read_config(folder)
    try:
        model = kind(data, details=data.pop("details", {}))
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (ValidationError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise UserError(
            f"the model cannot be read ({shorten(str(error), 300)})",
            where=str(folder),
            how="copy its folder again, whole",
        ) from error
    model.item_table = ItemTable.load(folder)
    dim = model.config.item_encoder.dim
    if model.item_table is not None and model.item_table.embeddings.shape[1:] != (dim,):
        raise UserError(
            f"the item table's embeddings are not of the model's width {dim}",
            where=str(folder),
            how="copy its folder again, whole",
        )
    return model.eval()


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise UserError("not a model folder: config.json is missing", where=str(folder), how="name a saved model")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        version = data.pop("format_version")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError("config.json is not a recommender's", where=str(folder), how="name a saved model") from error
    if version != FORMAT_VERSION:
        raise UserError(
            f"model format {version} is not known (this version reads {FORMAT_VERSION})",
            where=str(path),
            how="upgrade iisan",
        )
    return dict(data)


def _histories(items: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings ``[B, L, d]`` of histories, zero at padding, and which of their slots are real ``[B, L]``."""
    real = slots > 0
    # Row 0 stands in for the padding and is wiped out: a zero row in front would mean a copy of the whole table.
    return nn.functional.embedding((slots - 1).clamp_min(0), items) * real.unsqueeze(-1), real
