"""Progress on a terminal: rate, time left, and what is being done."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Task as RichTask
from rich.text import Text

from iisan.cli.consoles import messages
from iisan.training.status import StepStatus


class RateColumn(TextColumn):
    """Units done a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: RichTask) -> Text:
        """The rate of a task, blank before it is known."""
        return Text("" if task.speed is None else f"{task.speed:,.1f}/s", style="progress.data.speed")


class TaskProgress:
    """Shows tasks that report ``(done, total, label)``, a bar for each label."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=messages,
            # A bar in a log file is noise; lines printed above the bars are shown there all the same.
            disable=not messages.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def __call__(self, done: int, total: int | None, label: str, note: str = "") -> None:
        """Shows that `done` of `total` are done."""
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(label, total=total, note=note)
        self._progress.update(self._tasks[label], completed=done, total=total, note=note)

    def hide(self, label: str) -> None:
        """Takes a bar away."""
        if label in self._tasks:
            self._progress.remove_task(self._tasks.pop(label))

    def print(self, text: str) -> None:
        """Prints a line above the bars."""
        self._progress.console.print(text)


class TrainingProgress:
    """Shows a training run: a bar for the epoch, a line for each epoch done.

    Args:
        tasks: Where the bars go.
        metric: The validation metric to show.
        title: What is trained, where there is more than one.
    """

    def __init__(self, tasks: TaskProgress, metric: str, title: str = "") -> None:
        self._tasks = tasks
        self._metric = metric
        self._title = f"{title} " if title else ""

    def on_step(self, status: StepStatus) -> None:
        """Moves the bar."""
        memory = "" if status.memory is None else f"  {status.memory / 2**30:.2f} GiB"
        label = f"{self._title}epoch {status.epoch + 1}"
        self._tasks(status.step, status.n_steps, label, f"loss {status.loss:.4f}{memory}")

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Prints the epoch's line."""
        self._tasks.hide(f"{self._title}epoch {record['epoch'] + 1}")
        scores = f"loss {record['loss']:.4f}  {self._metric} {record[self._metric]:.4f}"
        seconds = f"{record['seconds']:.1f} s + {record['validation_seconds']:.1f} s validation"
        self._tasks.print(f"{self._title}epoch {record['epoch'] + 1:3}  {scores}  {seconds}")
