"""An explanation as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from iisan.jobs.explain import ExplainOutcome

# Of the form; raised when a field changes its meaning or goes.
VERSION = 1


def as_json(outcome: ExplainOutcome) -> str:
    """The text of the file."""
    data = {
        "version": VERSION,
        "user_id": outcome.user_id,
        **asdict(outcome.explanation),
        "gates": outcome.gates,
        "notes": outcome.notes,
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
