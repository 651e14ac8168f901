"""The manifest of a hidden-state store: what is in it, and the commit point of every write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from iisan.errors import UserError
from iisan.states.atomic import replacing

FORMAT: Literal["iisan-states"] = "iisan-states"
VERSION = 1
MANIFEST_NAME = "manifest.json"

StoreDtype = Literal["float16", "bfloat16", "float32"]
# A plain file name: a manifest cannot make the reader leave its folder
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class CheckedFile(BaseModel):
    """A file of the store and its SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: FileName
    sha256: Sha256


class ShardRecord(BaseModel):
    """One shard: its states and the index entries that were committed with it.

    Attributes:
        states: safetensors file with ``states [rows, T_var, D]``.
        index: Parquet file with ``item_id``, ``content_hash`` and ``row``.
        rows: Rows of states; may be 0 where only index entries were added.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    states: CheckedFile
    index: CheckedFile
    rows: int = Field(ge=0)


class Manifest(BaseModel):
    """What a store holds.

    Attributes:
        encoder: Identity of the encoder that made the states.
        dtype: Dtype of the shards.
        taps: Tapped hidden states, increasing; ``T`` of them.
        constant_taps: Those of `taps` that are one vector for every item.
        width: ``D``.
        constant: safetensors file with ``constant [T_const, D]``, fp32; ``None`` without constant taps.
        shards: In the order in which they were committed.
        unfinished: Whether the run that wrote the last shard had more to write.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["iisan-states"] = FORMAT
    version: int = VERSION
    encoder: dict[str, Any]
    dtype: StoreDtype
    taps: list[int] = Field(min_length=1)
    constant_taps: list[int] = []
    width: int = Field(ge=1)
    constant: CheckedFile | None = None
    shards: list[ShardRecord] = []
    unfinished: bool = False

    @property
    def imported(self) -> str | None:
        """What a user said made the states, where they were imported; ``None`` where an encoder made them here."""
        return str(self.encoder.get("name")) if self.encoder.get("imported") is True else None

    @property
    def varying_taps(self) -> list[int]:
        """The taps that the shards hold."""
        return [tap for tap in self.taps if tap not in self.constant_taps]

    @property
    def rows(self) -> int:
        """Rows of states in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def files(self) -> list[CheckedFile]:
        """Every file but the manifest."""
        shards = [file for shard in self.shards for file in (shard.states, shard.index)]
        return [self.constant, *shards] if self.constant else shards


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a store.

    Raises:
        UserError: `folder` is no store, its manifest is damaged, or a newer version wrote it.
    """
    path = folder / MANIFEST_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            "no hidden-state store here", where=str(folder), how="make one by encoding the dataset (`iisan encode`)"
        ) from None
    except NotADirectoryError:
        raise UserError("a hidden-state store is a folder, this is a file", where=str(folder)) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(path, str(error)) from error
    if isinstance(content, dict) and content.get("format") == FORMAT and content.get("version") != VERSION:
        raise UserError(
            f"the store has version {content.get('version')}, this program reads version {VERSION}",
            where=str(path),
            how="use the version of iisan that wrote it, or encode anew",
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"{field}: {first['msg']}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Commit: replace the manifest of a store.

    Raises:
        OSError: It cannot be written.
    """
    # Left out of a finished store's manifest, so that programs that do not know the field read it too.
    left_out = None if manifest.unfinished else {"unfinished"}
    with replacing(folder / MANIFEST_NAME) as temporary:
        temporary.write_text(manifest.model_dump_json(indent=1, exclude=left_out), encoding="utf-8")


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"the manifest is damaged ({reason})", where=str(path), how="restore it from a backup or encode anew"
    )
