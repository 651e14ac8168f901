"""The command line: one file a verb, and how errors leave it."""

from __future__ import annotations

import logging
import sys

import typer
from rich.logging import RichHandler
from rich.markup import escape

from iisan.cli import demo, encode, evaluate, import_checkpoint, import_data, recommend, states, train
from iisan.cli.progress import messages
from iisan.errors import UserError

app = typer.Typer(
    name="iisan",
    help="Next-item recommendation from frozen foundation models and small side networks.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (import_data, encode, states, train, evaluate, recommend, import_checkpoint, demo):
    verb.add_to(app)

INTERRUPTED = 130
USER_ERROR = 2


def main() -> None:
    """Runs the command line: bad input is one line and exit code 2, an interruption is one line and 130."""
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=messages, show_path=False)]
    )
    logging.getLogger("iisan").setLevel(logging.INFO)
    try:
        app()
    except UserError as error:
        messages.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        messages.print("interrupted; the same command goes on where the last checkpoint was", soft_wrap=True)
        sys.exit(INTERRUPTED)
