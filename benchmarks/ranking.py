"""One full ranking at the paper's shapes: all items embedded from a mapped store, all users' targets ranked among them.

python benchmarks/ranking.py --json benchmarks/results/ranking.json
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from iisan.evaluation.evaluate import USERS_AT_ONCE, rank_users
from iisan.evaluation.scorers import RecommenderScorer
from iisan.models.recommender import CPU_CHUNK
from iisan.models.score_blocks import BLOCK
from iisan.training.config import TrainConfig
from machine import peak_pss_mb
from measure import block_rate, flop_of, median_ms, report, score_rate
from paper_shapes import N_ITEMS, N_TAPS, N_USERS, SHAPES, WIDTH, make_model, make_source, make_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--repeats", type=int, default=5, help="rankings measured")
    parser.add_argument("--reduced", action="store_true", help="few items and users, to see that it works")
    options = parser.parse_args()
    n_items, n_users = (2_000, 600) if options.reduced else (N_ITEMS, N_USERS)
    config = TrainConfig.preset("paper")
    split = make_split(n_items, n_users)
    model = make_model(config, n_items).eval()
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(Path(folder), n_items)

        def embed() -> torch.Tensor:
            return model.embed_items(source, chunk=config.encode_chunk)

        def rank(items: torch.Tensor) -> None:
            rank_users(RecommenderScorer(model, items), split, "valid", config.max_length)

        items = embed()
        embed_ms = median_ms(embed, options.repeats)
        rank_ms = median_ms(lambda: rank(items), options.repeats)
        embed_flop, rank_flop = flop_of(embed), flop_of(lambda: rank(items))
        pss = peak_pss_mb()
    states = torch.randn(256, len(SHAPES) * (N_TAPS - 1), WIDTH).half()
    bytes_ms = median_ms(lambda: states.float(), 30) * n_items / len(states)
    floor_ms = {
        "embed": embed_flop / block_rate(min(config.encode_chunk, CPU_CHUNK)) + bytes_ms,
        "rank": rank_flop / score_rate(USERS_AT_ONCE, BLOCK),
    }
    result = {
        "ranking_s": round((embed_ms + rank_ms) / 1000, 3),
        "floor_s": round(sum(floor_ms.values()) / 1000, 3),
        "ratio": round((embed_ms + rank_ms) / sum(floor_ms.values()), 2),
        "embed_s": round(embed_ms / 1000, 3),
        "rank_s": round(rank_ms / 1000, 3),
        "embed_floor_s": round(floor_ms["embed"] / 1000, 3),
        "rank_floor_s": round(floor_ms["rank"] / 1000, 3),
        "items": n_items,
        "users": n_users,
        "peak_pss_mb": round(pss, 1),
        "reduced": options.reduced,
    }
    report(result, options.json)


if __name__ == "__main__":
    main()
