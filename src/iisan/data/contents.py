"""What goes into a dataset folder, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iisan.data.interactions import Interactions
from iisan.data.manifest import RESERVED_COLUMNS, DatasetSource
from iisan.data.modality_names import check_modality_names
from iisan.data.picture_source import PictureSource
from iisan.errors import UserError

Texts = Sequence[str | None]
Images = Texts | PictureSource


@dataclass(frozen=True, eq=False)
class DatasetContents:
    """A catalogue and a log, ready to be written by :func:`iisan.data.writer.write_dataset`.

    Attributes:
        name: Display name.
        item_ids: Ids of the catalogue ``[N]``, distinct.
        titles: Display titles ``[N]``, None where unknown.
        texts: Text of each item ``[N]`` by text modality; None or blank where it has none.
        images: Pictures of the items ``[N]`` by image modality: POSIX paths relative to ``media_root``, None where an
            item has none; or a source of pictures that are elsewhere, such as in a table or in tar archives.
        attributes: Further columns ``[N]`` by name, kept as text.
        user_ids: Ids of the users ``[U]``, by first appearance in the log.
        interactions: The log, ordered as :class:`~iisan.data.interactions.Interactions` says.
        media_root: Folder that paths of pictures are relative to; needed where there are any.
        source: Where the data came from.
    """

    name: str
    item_ids: Sequence[str]
    titles: Texts
    texts: Mapping[str, Texts]
    images: Mapping[str, Images]
    user_ids: Sequence[str]
    interactions: Interactions
    attributes: Mapping[str, Texts] = field(default_factory=dict)
    media_root: Path | None = None
    source: DatasetSource = field(default_factory=lambda: DatasetSource(importer="library"))

    def check(self) -> None:
        """Check that the parts fit together.

        Raises:
            UserError: Ids repeat or are blank, lengths or names clash, or rows of the log are out of range or order.
        """
        check_ids(self.item_ids, "item")
        check_ids(self.user_ids, "user")
        columns = {"title": self.titles, **self.texts, **self.images, **self.attributes}
        names = [*RESERVED_COLUMNS, *self.texts, *self.images, *self.attributes]
        check_names(names)
        check_modality_names([*self.texts, *self.images])
        for name, values in columns.items():
            if len(values) != len(self.item_ids):
                raise UserError(f"column {name!r} has {len(values)} values for {len(self.item_ids)} items")
        if (self.interactions.n_items, self.interactions.n_users) != (len(self.item_ids), len(self.user_ids)):
            raise UserError("the log was made for another number of items or users", where=self.name)
        self.interactions.check(where=self.name)


def check_ids(ids: Sequence[str], kind: str) -> None:
    """Check that ids are distinct and not blank.

    Raises:
        UserError: They are not; the first few that repeat are named.
    """
    if any(not one.strip() for one in ids):
        raise UserError(f"a blank {kind} id", how="give each one an id")
    if len(set(ids)) != len(ids):
        repeated = [one for one, count in Counter(ids).items() if count > 1]
        raise UserError(f"{len(repeated)} {kind} ids occur twice or more, the first are {repeated[:3]}")


def check_names(names: Sequence[str]) -> None:
    """Check that columns of the items table have distinct names.

    Raises:
        UserError: A name is blank, repeats, or is taken by a column that every dataset has.
    """
    for name, count in Counter(names).items():
        if count > 1 or not name.strip():
            taken = f"{', '.join(RESERVED_COLUMNS)} are taken"
            raise UserError(f"two columns of the items would be named {name!r}", how=f"choose other names ({taken})")
