"""All that was found in a dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from iisan.data.doctor.finding import Finding, Severity
from iisan.data.doctor.folder import Folder
from iisan.data.doctor.options import DoctorOptions

# Of the JSON form; raised when a field changes its meaning or goes.
VERSION = 1


@dataclass(frozen=True, eq=False)
class DoctorReport:
    """Findings about one dataset, in the order of the checks.

    Attributes:
        folder: What could be read of it.
        options: What was looked for.
        findings: One for each check and what it looked at, sound or not.
        digests: SHA-256 of each item's picture ``[N]`` by image modality; null where it has none.
    """

    folder: Folder
    options: DoctorOptions
    findings: tuple[Finding, ...]
    digests: dict[str, pa.ChunkedArray]

    @property
    def severity(self) -> Severity:
        """The worst of the findings."""
        there = {one.severity for one in self.findings}
        return "error" if "error" in there else "warning" if "warning" in there else "ok"

    @property
    def ok(self) -> bool:
        """Whether training on the dataset would be right: no finding is an error."""
        return self.severity != "error"

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [one for one in self.findings if one.severity == severity]

    def named(self, check: str, about: str = "") -> Finding:
        """The finding of one check.

        Raises:
            KeyError: It was not run, since what it looks at cannot be read.
        """
        for one in self.findings:
            if (one.check, one.about) == (check, about):
                return one
        raise KeyError(check, about)

    def extended(self, findings: list[Finding]) -> DoctorReport:
        """The report with further findings."""
        return replace(self, findings=(*self.findings, *findings))

    def as_data(self) -> dict[str, Any]:
        """JSON-able form."""
        manifest = self.folder.manifest
        return {
            "version": VERSION,
            "dataset": str(self.folder.path),
            "name": manifest.name,
            "severity": self.severity,
            "options": self.options.model_dump(mode="json"),
            "counts": manifest.counts.model_dump(mode="json"),
            "findings": [one.as_data() for one in self.findings],
        }
