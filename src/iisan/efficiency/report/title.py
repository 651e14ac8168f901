"""What a report is called."""

from __future__ import annotations

from iisan.efficiency.report.comparison import Comparison

DATASET = "Dataset"


def report_title(comparison: Comparison) -> str:
    """The heading: how many methods, and on which dataset if the setting names one."""
    count = len(comparison.methods)
    compared = (
        "No method measured" if not count else "One method measured" if count == 1 else f"{count} methods compared"
    )
    dataset = dict(comparison.setting).get(DATASET)
    return f"Adapting the encoders: {compared[0].lower()}{compared[1:]}" + (f" on {dataset}" if dataset else "")
