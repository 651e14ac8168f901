"""Foundation models of the paper's shapes with random weights, and made-up items for them to read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from torch import Tensor

from iisan.encoders.config import ComputeDtype, EncoderConfig, Kind
from iisan.encoders.encoder import Batch, Encoder
from iisan.encoders.image import ImageEncoder, Picture
from iisan.encoders.model_files import locate_model
from iisan.encoders.text import TextEncoder
from paper_shapes import N_ITEMS, N_USERS

TOKENS = 30
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
KINDS: tuple[Kind, ...] = ("image", "text")


@dataclass(frozen=True)
class Scale:
    """Sizes of the problem.

    Attributes:
        items: ``N``.
        users: Of whom each has one history an epoch.
        layers: Of both encoders.
        width: ``D``.
        heads: Attention heads.
        vocabulary: Tokens that the language model knows.
        image_size: Side of a picture in pixels.
        patch: Side of a patch.
        pictures: Prepared pictures; items share them.
        warm_up: Steps that are not timed.
        block: Steps that are timed in one piece, where the encoders run.
        cached_block: The same where they do not run.
    """

    items: int = N_ITEMS
    users: int = N_USERS
    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 30_522
    image_size: int = 224
    patch: int = 16
    pictures: int = 256
    warm_up: int = 6
    block: int = 6
    cached_block: int = 40


SCALES = {
    "paper": Scale(),
    "tiny": Scale(
        items=400,
        users=640,
        layers=2,
        width=16,
        heads=2,
        vocabulary=100,
        image_size=32,
        patch=8,
        pictures=16,
        warm_up=1,
        block=1,
        cached_block=2,
    ),
}


def save_models(folder: Path, scale: Scale) -> None:
    """Writes a BERT and a ViT with seeded random weights, as Hugging Face folders."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": scale.width,
        "num_hidden_layers": scale.layers,
        "num_attention_heads": scale.heads,
        "intermediate_size": 4 * scale.width,
    }
    vocabulary = {token: row for row, token in enumerate([*SPECIAL, *_words(scale)])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder / "text")
    transformers.BertModel(transformers.BertConfig(vocab_size=scale.vocabulary, **shape)).save_pretrained(
        folder / "text"
    )
    side = {"height": scale.image_size, "width": scale.image_size}
    transformers.ViTImageProcessorPil(size=side).save_pretrained(folder / "image")
    vit = transformers.ViTConfig(image_size=scale.image_size, patch_size=scale.patch, **shape)
    transformers.ViTModel(vit).save_pretrained(folder / "image")


def make_contents(scale: Scale) -> dict[str, list[str]]:
    """For each item a text of 30 tokens, and the number of a prepared picture."""
    rng = np.random.default_rng(0)
    words = np.array(_words(scale))
    texts = [" ".join(row) for row in words[rng.integers(0, len(words), (scale.items, TOKENS - 2))]]
    return {"image": [f"picture {row}" for row in range(scale.items)], "text": texts}


def load_encoders(folder: Path, scale: Scale, compute: ComputeDtype, taps: list[int] | None) -> dict[str, Encoder]:
    """The saved models, pooled as in the paper; pictures come prepared."""
    encoders: dict[str, Encoder] = {}
    for kind in KINDS:
        config = EncoderConfig(
            model=str(folder / kind),
            kind=kind,
            pooling="first",
            taps=taps or "paper",
            dtype=compute,
            max_tokens=TOKENS,
            decoders=0,  # Nothing is decoded.
        )
        files = locate_model(config)
        encoders[kind] = TextEncoder(config, files) if kind == "text" else PreparedPictures(config, files, scale)
    return encoders


class PreparedPictures(ImageEncoder):
    """An image encoder whose pictures were decoded and scaled in advance: seeded noise, fp32, in the host's memory.

    So that what is timed is the accelerator and not how many processors decode for it.
    """

    def __init__(self, config: EncoderConfig, files: Any, scale: Scale) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (scale.pictures, 3, scale.image_size, scale.image_size)
        self._pictures: Tensor = torch.randn(shape, generator=generator)
        super().__init__(config, files)

    def prepare(self, contents: list[Picture]) -> Batch:  # type: ignore[override]
        """Pixels of ``"picture 17"`` and the like; other pictures are decoded."""
        numbers = [int(one.removeprefix("picture ")) for one in contents if isinstance(one, str)]
        if not numbers:
            return super().prepare(contents)
        return {"pixel_values": self._pictures[torch.tensor(numbers) % len(self._pictures)]}


def described(scale: Scale) -> dict[str, int]:
    """Plain data."""
    return asdict(scale)


def _words(scale: Scale) -> list[str]:
    return [f"word{number}" for number in range(scale.vocabulary - len(SPECIAL))]
