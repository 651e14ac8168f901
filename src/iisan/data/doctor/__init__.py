"""The doctor: what is wrong with a dataset, or to be known of it, before hours are spent on training."""

from iisan.data.doctor.examine import examine
from iisan.data.doctor.finding import Finding, Severity
from iisan.data.doctor.options import DoctorOptions
from iisan.data.doctor.report import DoctorReport

__all__ = ["DoctorOptions", "DoctorReport", "Finding", "Severity", "examine"]
