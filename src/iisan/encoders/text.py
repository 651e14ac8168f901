"""Texts in, one vector per tapped layer out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iisan.encoders.config import EncoderConfig
from iisan.encoders.encoder import Batch
from iisan.encoders.foundation import load_foundation, reading, resolve_device, resolve_dtype
from iisan.encoders.model_files import ModelFiles
from iisan.encoders.passes import Placed, encoded_parts, forward_passes
from iisan.encoders.prefetch import prefetch
from iisan.encoders.tapped_states import check_states, pooled_taps
from iisan.encoders.taps import resolve_taps
from iisan.errors import UserError

# SigLIP's text tower was trained on texts padded to full length and without an attention mask
UNMASKED_MODELS = {"siglip_text_model", "siglip2_text_model"}
# Far more than any tokenizer puts into one; a longer text is read further only where these gave too few tokens.
CHARACTERS_A_TOKEN = 1000


class TextEncoder:
    """A frozen language model or text tower; see `iisan.encoders.encoder.Encoder` for the attributes.

    Padding stands on the right, so that a token's vector never depends on how long the other texts of a batch are.
    A text without any token (an empty one, for a tokenizer that adds no special tokens) is read as one padding token.

    Args:
        config: What to load, with ``kind="text"``.
        files: Where its files are.

    Raises:
        UserError: The model or its tokenizer cannot be loaded, or `config` asks for what the model does not have.
    """

    def __init__(self, config: EncoderConfig, files: ModelFiles) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        self.compute_dtype = resolve_dtype(config.dtype, self.device)
        self.module: nn.Module = load_foundation(files.folder, "text", self.compute_dtype, files.name).to(self.device)
        self._tokenizer = _load_tokenizer(files)
        self._pad_id = _pad_id(self._tokenizer, files.name)
        model_config: Any = self.module.config
        self._masked = model_config.model_type not in UNMASKED_MODELS
        positions = _positions(self._tokenizer, self.module)
        if config.max_tokens > positions:
            raise UserError(
                f"max_tokens is {config.max_tokens}, but the model has {positions} positions",
                where=files.name,
                how=f"set max_tokens to at most {positions}",
            )
        self._full_length = None if self._masked else positions
        with torch.inference_mode():
            hidden, _ = self._hidden_states(self.prepare(list(self.probe_contents())))
        self.n_states, self.width = check_states(hidden, files.name)
        if config.pooling == "first":
            self._require_seeing_first_token(files.name)
        self.taps = resolve_taps(config.taps, self.n_states)
        self.identity: dict[str, Any] = {
            "model": files.name,
            "revision": files.revision,
            "kind": "text",
            "pooling": config.pooling,
            "taps": list(self.taps),
            "n_states": self.n_states,
            "width": self.width,
            "preprocessing": {"max_tokens": config.max_tokens, "lowercase": config.lowercase},
        }

    def prepare(self, contents: Sequence[str]) -> Batch:
        """Tokenise texts into one padded batch.

        Args:
            contents: ``n`` texts, at least one.

        Returns:
            ``input_ids`` and ``attention_mask``, ``[n, L]`` int64, on the CPU; the mask is 0 at padding.
        """
        return self._pad(self._tokenise(contents))

    def forward_taps(self, batch: Batch) -> Tensor:
        """Tapped and pooled hidden states ``[n, T, D]`` of a batch, on the encoder's device, in its arithmetic's dtype.

        Gradients are recorded where they are enabled and a parameter wants them.
        """
        hidden, mask = self._hidden_states(batch)
        return pooled_taps(hidden, mask, self.taps, self.config.pooling)

    def encode(self, contents: Sequence[str], on_batch: Callable[[int], None] | None = None) -> Tensor:
        """Encode any number of texts; those of like length share a forward pass, so little of it is padding.

        Args:
            contents: ``n`` texts.
            on_batch: Called after each forward pass with the number of texts done by it.

        Returns:
            ``[n, T, D]``, fp32, on the CPU, in the order of `contents`.
        """
        (states,) = self.encode_parts([contents], on_batch)
        return states

    def encode_parts(
        self, parts: Sequence[Sequence[str]], on_batch: Callable[[int], None] | None = None
    ) -> Generator[Tensor, None, None]:
        """:meth:`encode` of one part after the other; the next one is tokenised meanwhile."""
        filled = [part for part in parts if part]
        with closing(prefetch(self._tokenise, filled)) as tokenised:
            passes = forward_passes(self._by_length(tokenised), self.forward_taps, self.device)
            yield from encoded_parts(map(len, parts), passes, (len(self.taps), self.width), on_batch)

    def probe_contents(self) -> tuple[str, str]:
        """Two texts without a common word."""
        return "red wooden toy train", "Blue 7-inch steel whale"

    def _by_length(self, tokenised: Iterator[list[list[int]]]) -> Iterator[Placed]:
        for tokens in tokenised:
            order = sorted(range(len(tokens)), key=lambda item: len(tokens[item]))
            for start in range(0, len(order), self.config.batch_size):
                members = order[start : start + self.config.batch_size]
                yield members, self._pad([tokens[item] for item in members])

    def _tokenise(self, contents: Sequence[str]) -> list[list[int]]:
        texts = [text.lower() for text in contents] if self.config.lowercase else list(contents)
        # The tokenizer reads a text to its end before it cuts: 10 MB take it half a minute.
        limit = CHARACTERS_A_TOKEN * self.config.max_tokens
        ids = self._ids([text[:limit] for text in texts])
        for row, text in enumerate(texts):
            if len(text) > limit and len(ids[row]) < self.config.max_tokens:
                ids[row] = self._ids([text])[0]
        return [row or [self._pad_id] for row in ids]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(
            texts,
            truncation=True,
            max_length=self.config.max_tokens,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return ids

    def _pad(self, tokens: list[list[int]]) -> Batch:
        lengths = np.array([len(row) for row in tokens])
        width = self._full_length or int(lengths.max())
        mask = np.arange(width) < lengths[:, None]  # [n, L]
        input_ids = np.full(mask.shape, self._pad_id, dtype=np.int64)
        input_ids[mask] = np.fromiter(chain.from_iterable(tokens), np.int64, lengths.sum())
        return {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}

    def _require_seeing_first_token(self, name: str) -> None:
        one, other = self._tokenise(list(self.probe_contents()))
        with torch.inference_mode():
            hidden, _ = self._hidden_states(self._pad([one, one[:1] + other[1:]]))
        if torch.equal(hidden[-1][0, 0], hidden[-1][1, 0]):
            raise UserError(
                "the model is causal: its first token has seen nothing of the text after it",
                where=f"{name} with pooling 'first'",
                how="use pooling 'last' or 'mean'",
            )

    def _hidden_states(self, batch: Batch) -> tuple[tuple[Tensor, ...], Tensor]:
        input_ids = batch["input_ids"].to(self.device)
        mask = batch["attention_mask"].to(self.device)
        inputs = {"input_ids": input_ids, "attention_mask": mask} if self._masked else {"input_ids": input_ids}
        return self.module(**inputs, output_hidden_states=True).hidden_states, mask


def _load_tokenizer(files: ModelFiles) -> Any:
    from transformers import AutoTokenizer

    with reading(files.name, "its tokenizer files"):
        tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False)
    tokenizer.truncation_side = "right"
    return tokenizer


def _pad_id(tokenizer: Any, name: str) -> int:
    for token_id in (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id):
        if token_id is not None:
            return int(token_id)
    raise UserError(
        "the tokenizer has neither a padding nor an end token", where=name, how="set pad_token in its config"
    )


def _positions(tokenizer: Any, module: Any) -> int:
    # a tokenizer that knows no limit gives a huge number
    limits = [int(tokenizer.model_max_length), getattr(module.config, "max_position_embeddings", None)]
    table: Any = getattr(getattr(module, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    if padding is not None:  # RoBERTa and its kin count positions from the padding index on
        limits.append(table.num_embeddings - padding - 1)
    return min(limit for limit in limits if limit is not None and limit > 0)
