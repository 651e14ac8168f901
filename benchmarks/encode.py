"""Encoding texts and pictures: items a second, against the model's own forward pass and against decoding alone.

python benchmarks/encode.py --json benchmarks/results/encode.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from efficiency_problem import SCALES, save_models
from iisan.encoders.config import EncoderConfig
from iisan.encoders.encoder import Batch, Encoder
from iisan.encoders.load import load_encoder
from measure import report

TEXT, PICTURES = "wheel:minilm-l6", "wheel:dinov2-small"


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of a call, work on the device included."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(encoder: Encoder, contents: Sequence[Any], repeats: int) -> dict[str, float]:
    """Rates of the whole way, of the preparation alone, and of the forward pass on what is prepared.

    The floor is the forward pass of the same batches, those of like length together, with nothing else to do. The two
    are measured in turn, so that a machine that gets slower does so for both, and each time counts by its median.
    """
    size = encoder.config.batch_size
    ordered = sorted(contents, key=_length)
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    encoder.encode(ordered)  # Warms up, and starts the processes that decode.
    batches: list[Batch] = []
    prepare_s = seconds(lambda: batches.extend(encoder.prepare(part) for part in parts), torch.device("cpu"))

    @torch.inference_mode()
    def forward() -> None:
        for batch in batches:
            encoder.forward_taps(batch)

    times = [(seconds(forward, encoder.device), _encode_s(encoder, contents)) for _ in range(repeats)]
    forward_s, encode_s = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "items": len(contents),
        "encode_per_s": round(len(contents) / encode_s, 1),
        "forward_per_s": round(len(contents) / forward_s, 1),
        "prepare_per_s_one_by_one": round(len(contents) / prepare_s, 1),
        "ratio": round(statistics.median(encoded / forwarded for forwarded, encoded in times), 3),
    }


def _encode_s(encoder: Encoder, contents: Sequence[Any]) -> float:
    return seconds(lambda: encoder.encode(contents), encoder.device)


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
    parser.add_argument("--pictures", type=int, default=96, help="how many")
    parser.add_argument("--side", type=int, default=1000, help="pixels of a picture's side")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--decoders", type=int, help="processes that decode; by default as iisan encode has it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--reduced", action="store_true", help="small sizes and models, to see that it works")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.reduced:
            reduce(options, Path(folder))
        report({"reduced": options.reduced, **both(options, Path(folder))}, options.json)


def reduce(options: argparse.Namespace, folder: Path) -> None:
    """Few contents, and random models of two layers."""
    save_models(folder, SCALES["tiny"])
    options.text_model, options.image_model = str(folder / "text"), str(folder / "image")
    options.texts, options.pictures, options.side, options.batch_size = 12, 6, 60, 4


def both(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Figures of texts and of pictures."""
    common: dict[str, Any] = {"batch_size": options.batch_size, "device": options.device, "pooling": "mean"}
    text = load_encoder(EncoderConfig(model=options.text_model, kind="text", max_tokens=64, **common))
    result: dict[str, Any] = {"batch_size": options.batch_size, "decoders": options.decoders}
    result["text"] = {
        "model": options.text_model,
        **measure(text, make_texts(options.texts), options.repeats),
    }
    config = EncoderConfig(model=options.image_model, kind="image", decoders=options.decoders, **common)
    paths = make_pictures(folder, options.pictures, options.side)
    result["pictures"] = {
        "model": options.image_model,
        "side": options.side,
        **measure(load_encoder(config), paths, options.repeats),
    }
    return result


if __name__ == "__main__":
    main()
