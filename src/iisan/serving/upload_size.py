"""How large a form with a new item may be."""

from __future__ import annotations

from iisan.serving.upload_limits import UploadLimits

# Boundaries and the headers of the parts.
AROUND = 64 << 10


def upload_bytes(limits: UploadLimits) -> int:
    """Most bytes of the body of ``POST /items``."""
    return limits.item_bytes + AROUND
