"""The report of a comparison: numbers derived from what was measured, as a table, JSON, CSV, Markdown and HTML."""

from iisan.efficiency.report.comparison import ComparedMethod, Comparison, compare_outcomes
from iisan.efficiency.report.write import write_reports

__all__ = ["ComparedMethod", "Comparison", "compare_outcomes", "write_reports"]
