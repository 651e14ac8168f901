"""The command line: one file a verb, and how errors leave it."""

from __future__ import annotations

import logging

import typer
from rich.logging import RichHandler
from rich.text import Text
from typer.exceptions import TyperException

from iisan.cli import (
    add_items,
    cold_start,
    compare,
    demo,
    doctor,
    encode,
    evaluate,
    explain,
    export,
    import_checkpoint,
    import_data,
    plan,
    recommend,
    serve,
    states,
    train,
)
from iisan.cli.consoles import messages
from iisan.cli.flags import in_flags, options_of
from iisan.errors import FULL, UserError

app = typer.Typer(
    name="iisan",
    help="Next-item recommendation from frozen foundation models and small side networks.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    # Plain help: the framed one cuts long option names off on a terminal of 80 columns.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    import_data,
    doctor,
    encode,
    states,
    train,
    evaluate,
    recommend,
    add_items,
    cold_start,
    compare,
    plan,
    explain,
    export,
    import_checkpoint,
    serve,
    demo,
):
    verb.add_to(app)

INTERRUPTED = 130
USER_ERROR = 2


def run() -> int:
    """Runs the command line and gives the exit code: 2 for bad input, which is one line.

    Raises:
        KeyboardInterrupt: It was interrupted.
    """
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=messages, show_path=False)]
    )
    logging.getLogger("iisan").setLevel(logging.INFO)
    try:
        # Not standalone: usage errors and interruptions (for which typer returns 130) are then ours to word.
        code: int | None = app(standalone_mode=False)
    except UserError as error:
        return _fail(str(_in_flags(error)))
    except TyperException as error:
        return _usage_error(error.format_message())
    except OSError as error:
        how = "make room" if error.errno in FULL else ""
        return _fail(str(UserError(error.strerror or str(error), where=str(error.filename or ""), how=how)))
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code or 0


def _in_flags(error: UserError) -> UserError:
    options = options_of(typer.main.get_command(app))
    return UserError(in_flags(error.what, options), where=error.where, how=in_flags(error.how, options))


def _usage_error(message: str) -> int:
    if message.lstrip().startswith("Usage:"):  # a verb without arguments: the message is its help
        messages.print(message, soft_wrap=True)
        return USER_ERROR
    return _fail(f"{' '.join(message.split()).rstrip('.')}; see --help")


def _fail(line: str) -> int:
    messages.print(Text.assemble(("error:", "red"), f" {line}"), soft_wrap=True)
    return USER_ERROR
