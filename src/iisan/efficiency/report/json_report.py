"""A comparison as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from iisan.efficiency.report.comparison import ComparedMethod, Comparison
from iisan.efficiency.report.notes import notes
from iisan.efficiency.report.payback import Payback

# Of the form; raised when a field changes its meaning or goes.
VERSION = 1


def as_data(comparison: Comparison) -> dict[str, Any]:
    """JSON-able form: times in seconds, memory in bytes, metrics as fractions of one."""
    return {
        "version": VERSION,
        "verdict": comparison.verdict,
        "weights": dict(zip(("time", "parameters", "memory"), comparison.weights, strict=True)),
        "setting": dict(comparison.setting),
        "notes": notes(comparison),
        "methods": [_method_data(method) for method in comparison.methods],
        "failures": [failure.model_dump(mode="json") for failure in comparison.failures],
        "paybacks": [_payback_data(payback) for payback in comparison.paybacks],
    }


def as_json(comparison: Comparison) -> str:
    """The text of the file."""
    return json.dumps(_finite(as_data(comparison)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Null for numbers that JSON has no words for, such as the loss of a training that diverged."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _method_data(method: ComparedMethod) -> dict[str, Any]:
    parts = dict(zip(("time", "parameters", "memory"), method.parts, strict=True))
    return {
        "method": method.name,
        "tpme": {**asdict(method.tpme), "parts": parts},
        "seconds_per_epoch": method.seconds,
        "joules_per_epoch": method.joules,
        "measurement": method.measurement.model_dump(mode="json"),
    }


def _payback_data(payback: Payback) -> dict[str, Any]:
    return {
        "method": payback.method,
        "against": payback.against,
        "encoding_seconds": payback.encoding.seconds,
        "seconds_saved_per_epoch": payback.saved,
        "epochs": payback.epochs,
        "whole_epochs": payback.whole_epochs,
    }
