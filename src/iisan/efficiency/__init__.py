"""What adapting foundation models costs: TPME and the meters behind it."""

from iisan.efficiency.tpme import TpmeInterval, tpme, tpme_intervals

__all__ = ["TpmeInterval", "tpme", "tpme_intervals"]
