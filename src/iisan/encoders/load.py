"""Load an encoder by its configuration."""

from __future__ import annotations

from iisan.encoders.config import EncoderConfig
from iisan.encoders.image import ImageEncoder
from iisan.encoders.model_files import locate_model
from iisan.encoders.text import TextEncoder


def load_encoder(config: EncoderConfig) -> TextEncoder | ImageEncoder:
    """Load a frozen foundation model.

    Any Transformer that ``transformers.AutoModel`` loads without remote code will do: BERT, RoBERTa, MiniLM, T5's
    encoder, GPT-2, Llama, Qwen; ViT, DINOv2, BEiT; either tower of CLIP and SigLIP. Weights are read from safetensors
    only.

    Args:
        config: Model, taps, pooling and preprocessing.

    Returns:
        An encoder on its device, in eval mode and without gradients.

    Raises:
        UserError: The model is not there, has only pickled weights, or does not fit `config`.
    """
    files = locate_model(config)
    return TextEncoder(config, files) if config.kind == "text" else ImageEncoder(config, files)
