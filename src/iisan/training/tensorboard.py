"""Training as TensorBoard scalars."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from iisan.errors import UserError
from iisan.training.status import StepStatus


class TensorBoard:
    """A reporter that writes ``loss`` by step and the rest of each record (metrics, seconds) by epoch.

    Used as a context: the file is made on entering and complete on leaving.

    Args:
        folder: Folder of the event files; a continued run adds one.

    Raises:
        UserError: The package ``tensorboard`` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "the package tensorboard is not installed", how="run `pip install 'iisan[tensorboard]'`"
            ) from error
        self._make_writer = SummaryWriter
        self._folder = folder

    def __enter__(self) -> Self:
        self._writer = self._make_writer(str(self._folder))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._writer.close()

    def on_step(self, status: StepStatus) -> None:
        """Writes the epoch's mean loss so far, and the memory in use in GiB."""
        step = status.epoch * status.n_steps + status.step
        self._write("step/loss", status.loss, step)
        if status.memory is not None:
            self._write("step/memory_gib", status.memory / 2**30, step)

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Writes every number of the record, by epoch from 1."""
        for name, value in record.items():
            if name != "epoch":
                self._write(f"epoch/{name}", value, record["epoch"] + 1)

    def _write(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)
