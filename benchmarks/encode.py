"""Encoding texts and pictures: items a second, against the model's own forward pass and against decoding alone.

python benchmarks/encode.py --json benchmarks/results/encode.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from iisan.encoders.config import EncoderConfig
from iisan.encoders.encoder import Encoder
from iisan.encoders.load import load_encoder
from machine import machine

TEXT, PICTURES = "wheel:minilm-l6", "wheel:dinov2-small"


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of a call, work on the device included."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(encoder: Encoder, contents: Sequence[Any]) -> dict[str, float]:
    """Rates of the whole way, of the preparation alone, and of the forward pass on what is prepared.

    The floor is the forward pass of the same batches, those of like length together, with nothing else to do.
    """
    size = encoder.config.batch_size
    ordered = sorted(contents, key=_length)
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    encoder.encode(ordered[:size])
    prepare_s = seconds(lambda: [encoder.prepare(part) for part in parts], torch.device("cpu"))
    batches = [encoder.prepare(part) for part in parts]

    @torch.inference_mode()
    def forward() -> None:
        for batch in batches:
            encoder.forward_taps(batch)

    forward_s = seconds(forward, encoder.device)
    encode_s = seconds(lambda: encoder.encode(contents), encoder.device)
    return {
        "items": len(contents),
        "encode_per_s": round(len(contents) / encode_s, 1),
        "forward_per_s": round(len(contents) / forward_s, 1),
        "prepare_per_s_one_thread": round(len(contents) / prepare_s, 1),
        "ratio": round(encode_s / forward_s, 3),
    }


def make_texts(count: int) -> list[str]:
    """Titles of 3 to 40 words, short ones more often."""
    rng = np.random.default_rng(0)
    words = ["red", "wooden", "toy", "train", "steel", "whale", "lamp", "kitchen", "large", "set", "of", "three"]
    return [" ".join(rng.choice(words, 3 + int(37 * rng.beta(1, 3)))) for _ in range(count)]


def make_pictures(folder: Path, count: int, side: int) -> list[Path]:
    """JPEG files of smooth random pictures with some noise."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        picture = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = np.clip(picture + rng.integers(-12, 13, picture.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(noisy).save(paths[-1], quality=90)
    return paths


def _length(content: object) -> int:
    return len(content) if isinstance(content, str) else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--text-model", default=TEXT)
    parser.add_argument("--image-model", default=PICTURES)
    parser.add_argument("--texts", type=int, default=1024, help="how many")
    parser.add_argument("--pictures", type=int, default=128, help="how many")
    parser.add_argument("--side", type=int, default=1000, help="pixels of a picture's side")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    common: dict[str, Any] = {"batch_size": options.batch_size, "device": options.device, "pooling": "mean"}
    text = load_encoder(EncoderConfig(model=options.text_model, kind="text", max_tokens=64, **common))
    result: dict[str, Any] = {"text": {"model": options.text_model, **measure(text, make_texts(options.texts))}}
    pictures = load_encoder(EncoderConfig(model=options.image_model, kind="image", **common))
    with tempfile.TemporaryDirectory() as folder:
        paths = make_pictures(Path(folder), options.pictures, options.side)
        result["pictures"] = {"model": options.image_model, "side": options.side, **measure(pictures, paths)}
    result.update(machine())
    print(json.dumps(result, indent=2))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
