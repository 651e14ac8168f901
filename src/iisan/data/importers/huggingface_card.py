"""What a Hugging Face dataset's card names must be the dataset's own files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from iisan.data.media_paths import BadMediaError, relative_media_path
from iisan.errors import UserError

CARD_FILES = ("README.md", ".huggingface.yaml")


def check_card(card: Path, name: str) -> None:
    """Check that a dataset's card names no files but the dataset's own; `datasets` would go and fetch them.

    Args:
        card: ``README.md`` or ``.huggingface.yaml``.
        name: The dataset, for messages.

    Raises:
        UserError: It names a URL or a path that leads out.
    """
    content = _content(card, name)
    for one in _leaves(content.get("configs") if isinstance(content, dict) else None, ("data_files", "data_dir")):
        try:
            relative_media_path(one)
        except BadMediaError as bad:
            raise stranger(one, name) from bad
        if "://" in one or "::" in one:
            raise stranger(one, name)


def _content(card: Path, name: str) -> Any:
    from huggingface_hub import DatasetCard

    try:
        if card.suffix == ".md":
            # Read as `datasets` reads it: a parser of our own might see another head than it does.
            return DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict()
        return yaml.safe_load(card.read_text(encoding="utf-8"))
    except Exception as error:  # Of the card's classes too, which take any text for themselves.
        raise UserError(f"the head of {card.name} cannot be read ({error})", where=name, how="mend it") from error


def _leaves(content: Any, keys: Sequence[str], *, wanted: bool = False) -> Iterator[str]:
    """Texts below some keys."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _leaves(value, keys, wanted=wanted or key in keys)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value, keys, wanted=wanted)
    elif wanted and isinstance(content, str):
        yield content


def stranger(file: str, name: str) -> UserError:
    """The error for a file that is not the dataset's own."""
    return UserError(
        f"the dataset names {file!r}, which is not a file of its own; nothing is fetched from elsewhere",
        where=name,
        how="download the files and import them from a folder",
    )
