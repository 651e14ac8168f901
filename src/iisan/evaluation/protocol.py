"""Protocols: what is ranked against the target (contract point 10)."""

from __future__ import annotations

from typing import Literal

Protocol = Literal["paper", "keep_target"]

PROTOCOLS: dict[Protocol, str] = {
    "paper": "the user's history is scored −∞, also where the target repeats it (such a target is a miss)",
    "keep_target": "the user's history is scored −∞, but never the target",
}
