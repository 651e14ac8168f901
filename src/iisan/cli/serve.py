"""``iisan serve``: a model over HTTP, with a web page."""

from __future__ import annotations

from typing import Any

import typer

from iisan.cli.consoles import messages, results
from iisan.cli.options import add_verb, build
from iisan.serving.serve import serve
from iisan.serving.settings import ServeSettings


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "serve", run, (ServeSettings,), arguments=("model",))


def run(values: dict[str, Any]) -> None:
    """Serve a model over HTTP: recommendations, search, new items, explanations, and a web page that shows them."""
    serve(build(ServeSettings, values), _started)
    messages.print("stopped; what was acknowledged is on the disk", soft_wrap=True)


def _started(address: str) -> None:
    results.print(f"serving at {address} (stop with Ctrl-C)", soft_wrap=True)
