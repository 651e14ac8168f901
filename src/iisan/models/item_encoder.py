"""Item encoders: everything that turns an item into a vector of width ``d``."""

from __future__ import annotations

from iisan.models.config import FrozenConfig, ItemEncoderConfig, SideNetworkConfig
from iisan.models.frozen_head import FrozenHead
from iisan.models.item_id_embedding import ItemIdEmbedding
from iisan.models.side_network import SideNetwork

ItemEncoder = SideNetwork | FrozenHead | ItemIdEmbedding


def build_item_encoder(config: ItemEncoderConfig) -> ItemEncoder:
    """Builds the module that a configuration describes, with fresh weights."""
    if isinstance(config, SideNetworkConfig):
        return SideNetwork(config)
    if isinstance(config, FrozenConfig):
        return FrozenHead(config)
    return ItemIdEmbedding(config)
