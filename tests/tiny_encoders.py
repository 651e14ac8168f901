"""Real models of every supported family, small and with random weights, saved as Hugging Face folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

WORDS = [
    "red",
    "blue",
    "green",
    "wooden",
    "steel",
    "soft",
    "toy",
    "train",
    "whale",
    "book",
    "lamp",
    "chair",
    "table",
    "for",
    "kids",
    "with",
    "a",
    "the",
    "of",
    "and",
    "big",
    "tiny",
]
WIDTH = 16
LAYERS = 4
DEPTH: dict[str, Any] = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
MLP: dict[str, Any] = {"intermediate_size": 32}


def wordpiece_tokenizer(folder: Path) -> int:
    """Write a BERT-like tokenizer: [CLS] words [SEP], with a padding token. Returns the vocabulary size."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [chr(code) for code in range(97, 123)] + list("0123456789.,-")
    pieces = special + WORDS + letters + ["##" + letter for letter in letters]
    vocab = {piece: row for row, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    return len(vocab)


def bpe_tokenizer(folder: Path, begin: str | None, end: str, *, close: bool = False) -> int:
    """Write a byte-level BPE tokenizer without a padding token; `begin` opens every text and `end` may close it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token in (begin, end) if token]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    template = " ".join([*([begin] if begin else []), "$A", *([end] if close else [])])
    if template != "$A":
        ids = [(token, tokenizer.token_to_id(token)) for token in special]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end).save_pretrained(
        folder
    )
    return tokenizer.get_vocab_size()


def bert(folder: Path, **options: Any) -> Path:
    size = wordpiece_tokenizer(folder)
    config = transformers.BertConfig(**{**DEPTH, **MLP, "vocab_size": size, "max_position_embeddings": 64, **options})
    return _save(transformers.BertModel(config), folder)


def distilbert(folder: Path) -> Path:
    size = wordpiece_tokenizer(folder)
    config = transformers.DistilBertConfig(
        vocab_size=size, dim=WIDTH, n_layers=LAYERS, n_heads=2, hidden_dim=32, max_position_embeddings=64
    )
    return _save(transformers.DistilBertModel(config), folder)


def roberta(folder: Path) -> Path:
    size = wordpiece_tokenizer(folder)
    config = transformers.RobertaConfig(
        **DEPTH, **MLP, vocab_size=size, max_position_embeddings=50, pad_token_id=0, bos_token_id=2, eos_token_id=3
    )
    return _save(transformers.RobertaModel(config), folder)


def t5(folder: Path) -> Path:
    size = bpe_tokenizer(folder, None, "</s>", close=True)
    config = transformers.T5Config(
        vocab_size=size, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=LAYERS, num_decoder_layers=1, num_heads=2
    )
    return _save(transformers.T5Model(config), folder)


def gpt2(folder: Path) -> Path:
    size = bpe_tokenizer(folder, None, "<|endoftext|>")
    config = transformers.GPT2Config(vocab_size=size, n_embd=WIDTH, n_layer=LAYERS, n_head=2, n_positions=64)
    return _save(transformers.GPT2LMHeadModel(config), folder)


def llama(folder: Path) -> Path:
    size = bpe_tokenizer(folder, "<s>", "</s>")
    config = transformers.LlamaConfig(
        **DEPTH,
        **MLP,
        num_key_value_heads=1,
        vocab_size=size,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=1,
    )
    return _save(transformers.LlamaForCausalLM(config), folder)


def vit(folder: Path) -> Path:
    config = transformers.ViTConfig(**DEPTH, **MLP, image_size=32, patch_size=8)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return _save(transformers.ViTModel(config), folder)


def beit(folder: Path) -> Path:
    config = transformers.BeitConfig(**DEPTH, **MLP, image_size=32, patch_size=8)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return _save(transformers.BeitModel(config), folder)


def dinov2(folder: Path) -> Path:
    config = transformers.Dinov2Config(**DEPTH, mlp_ratio=2, image_size=56, patch_size=14)
    transformers.BitImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}, do_center_crop=True
    ).save_pretrained(folder)
    return _save(transformers.Dinov2Model(config), folder)


def clip(folder: Path) -> Path:
    size = bpe_tokenizer(folder, "<|startoftext|>", "<|endoftext|>", close=True)
    text = {**DEPTH, **MLP, "vocab_size": size, "max_position_embeddings": 40, "eos_token_id": 1, "bos_token_id": 0}
    vision = {**DEPTH, **MLP, "image_size": 32, "patch_size": 8, "hidden_size": 24, "num_hidden_layers": 3}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return _save(transformers.CLIPModel(config), folder)


def siglip(folder: Path) -> Path:
    size = bpe_tokenizer(folder, None, "</s>", close=True)
    text = {**DEPTH, **MLP, "vocab_size": size, "max_position_embeddings": 40}
    vision = {**DEPTH, **MLP, "image_size": 32, "patch_size": 8, "hidden_size": 24, "num_hidden_layers": 3}
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return _save(transformers.SiglipModel(config), folder)


def resnet(folder: Path) -> Path:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return _save(transformers.ResNetModel(config), folder)


TEXT_MODELS: dict[str, Callable[[Path], Path]] = {
    "bert": bert,
    "distilbert": distilbert,
    "roberta": roberta,
    "t5": t5,
    "gpt2": gpt2,
    "llama": llama,
    "clip": clip,
    "siglip": siglip,
}
IMAGE_MODELS: dict[str, Callable[[Path], Path]] = {
    "vit": vit,
    "beit": beit,
    "dinov2": dinov2,
    "clip": clip,
    "siglip": siglip,
}
CAUSAL = {"gpt2", "llama", "clip"}
# with first-token pooling every item would be the same vector, or there is no class token
NO_FIRST_TEXT = {"llama", "clip"}
NO_FIRST_IMAGE = {"siglip"}


def pictures(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write pictures of various sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    paths = []
    for number in range(count):
        height, width = (int(side) for side in torch.randint(20, 60, (2,), generator=generator))
        coarse = torch.randint(0, 256, (5, 5, 3), generator=generator, dtype=torch.uint8)
        path = folder / f"picture-{seed}-{number}.png"
        Image.fromarray(coarse.numpy()).resize((width, height), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def texts(count: int, seed: int = 0) -> list[str]:
    """Distinct texts of 1 to 25 words."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        length = int(torch.randint(1, 25, (1,), generator=generator))
        words = [WORDS[int(w)] for w in torch.randint(0, len(WORDS), (length,), generator=generator)]
        made.append(" ".join([*words, str(number)]))
    return made


def _save(model: Any, folder: Path) -> Path:
    generator = torch.Generator().manual_seed(sum(map(ord, type(model).__name__)))
    with torch.no_grad():
        for parameter in model.parameters():
            # larger than usual weights: layers then change their input visibly, so that a wrong tap is noticed
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    model.save_pretrained(folder)
    return folder
