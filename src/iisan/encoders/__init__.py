"""Frozen foundation models by modality: media in, one vector per tapped layer out."""

from iisan.data.decode import decode_image
from iisan.encoders.config import EncoderConfig
from iisan.encoders.constant_taps import find_constant_taps
from iisan.encoders.encoder import Batch, Encoder, EncodesParts
from iisan.encoders.image import ImageEncoder
from iisan.encoders.load import load_encoder
from iisan.encoders.pooling import pool
from iisan.encoders.taps import resolve_taps
from iisan.encoders.text import TextEncoder

__all__ = [
    "Batch",
    "Encoder",
    "EncoderConfig",
    "EncodesParts",
    "ImageEncoder",
    "TextEncoder",
    "decode_image",
    "find_constant_taps",
    "load_encoder",
    "pool",
    "resolve_taps",
]
