"""The model card that travels with a saved recommender."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iisan.models.config import RecommenderConfig, SideNetworkConfig

_CARD = """---
library_name: iisan
tags:
- recommender-system
- sequential-recommendation
- multimodal
---

# A next-item recommender

{what}

| | |
|---|---|
| items in the catalogue | {n_items:,} |
| item embedding width | {dim} |
| longest history read | {length} |
{encoders}

## Use

```python
from iisan import Recommender

recommender = Recommender.from_pretrained("this-folder-or-hub-id")
recommender.recommend([["an item id", "another one"]], k=10)
```
{metrics}
## Source

IISAN, Fu et al., SIGIR 2024, [arXiv 2404.02059](https://arxiv.org/abs/2404.02059).
"""


def model_card_text(config: RecommenderConfig, details: Mapping[str, Any], n_items: int) -> str:
    """Markdown of the card.

    Args:
        config: The model's configuration.
        details: Facts that travel with the model; ``encoders`` and ``metrics`` are shown where present.
        n_items: Size of the catalogue.
    """
    return _CARD.format(
        what=_what(config),
        n_items=n_items,
        dim=config.item_encoder.dim,
        length=config.sequence_encoder.max_length,
        encoders=_encoder_rows(details.get("encoders", {})),
        metrics=_metrics(details.get("metrics", {})),
    )


def _what(config: RecommenderConfig) -> str:
    if isinstance(config.item_encoder, SideNetworkConfig):
        names = " and ".join(sorted(config.item_encoder.modalities))
        return (
            f"Side networks over the hidden states of frozen foundation models ({names}), "
            "and a Transformer over the items that a person touched."
        )
    what = {"frozen": "A linear head on frozen foundation models", "id": "Item-id embeddings, no content"}
    return f"{what[config.item_encoder.kind]}, and a Transformer over the items that a person touched."


def _encoder_rows(encoders: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(f"| {name} encoder | {identity.get('model', '?')} |" for name, identity in encoders.items())


def _metrics(metrics: Mapping[str, float]) -> str:
    if not metrics:
        return ""
    rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in metrics.items())
    return f"\n## Results on held-out interactions\n\n| metric | value |\n|---|---|\n{rows}\n"
