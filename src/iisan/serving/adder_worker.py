"""The process that adds items to a model: it keeps the encoders loaded and writes the journal."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from PIL import Image

from iisan.data.importers.catalogue import named_parts
from iisan.data.small_jpeg import AT_LEAST
from iisan.data.text_template import parse_template
from iisan.errors import UserError
from iisan.jobs.addition_plan import AdditionPlan, plan_additions
from iisan.jobs.append_items import append_items, embed_new
from iisan.jobs.item_columns import ItemColumns
from iisan.jobs.model_encoders import ModelEncoders
from iisan.jobs.new_items import NewItems
from iisan.models.added_facts import AddedFacts
from iisan.models.added_items import AddedItems
from iisan.models.additions import Additions, JournalHeldError
from iisan.models.file_names import CONFIG
from iisan.models.picture_store import PictureStore
from iisan.models.recommender import Recommender
from iisan.serving.adder_errors import AdderBusy, AdderFailed, CannotAdd, ItemExists, UploadRefused, as_data
from iisan.serving.adder_frames import Frame, read_frame, write_frame
from iisan.serving.adder_options import AdderOptions
from iisan.serving.decoding import DecodedPicture, Decoding
from iisan.serving.new_item import Added, AddedAs, NewItem
from iisan.serving.process_limits import leave_no_core
from iisan.serving.refusals import UnknownItems
from iisan.serving.upload_limits import UploadLimits
from iisan.states.content import Media, is_missing
from iisan.training.device import resolve_device

logger = logging.getLogger("iisan.serving.adder_worker")  # also where this is run as a program

# So much the worker stands back behind recommendations where processors are short.
NICENESS = 5


class AdderWorker:
    """Adds items to one model folder and takes them back.

    Args:
        model: The model folder.
        options: Where encoders are, and how they compute.
        limits: What uploads may hold.

    Raises:
        UserError: The model cannot be read, or its folder cannot be written.
    """

    def __init__(self, model: Path, options: AdderOptions, limits: UploadLimits) -> None:
        self.model = model
        self.options = options
        self.limits = limits
        self.journal = Additions(model)
        self.pictures = PictureStore(model)
        self.decoding = Decoding(limits)
        self._open()

    def _open(self) -> None:
        """Reads the model and loads its encoders."""
        self._weights = self.journal.version()[1:]
        self.recommender = Recommender.from_pretrained(self.model)
        self.columns = ItemColumns.model_validate(self.recommender.details.get("columns", {}))
        self.encoders: ModelEncoders | None = None
        self.cannot_add: str | None = None
        device = resolve_device(self.options.device)
        self.decoding.start()  # It gets ready while the encoders are loaded.
        try:
            encoders = ModelEncoders(
                self.recommender,
                self.model,
                models=named_parts(self.options.encoder),
                compute=self.options.compute,
                device=device,
            )
            encoders.load()
        except UserError as error:
            self.cannot_add = f"this model takes no new items: {error.what}; {error.how}"
            logger.warning("%s", self.cannot_add)
        else:
            self.encoders = encoders
        self.recommender.to(device)

    def warm_up(self) -> None:
        """Takes a picture and a text through everything, so that the first item takes no longer than any other."""
        if self.encoders is None:
            return
        picture = Image.new("RGB", (64, 64), "white")
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        try:
            self.decoding.decode(stream.getvalue(), "of nothing")
        except UploadRefused as error:
            logger.warning("pictures cannot be decoded here: %s", error)
        contents = {name: ["of nothing" if kind == "text" else picture] for name, kind in self._kinds().items()}
        row = torch.tensor([0])
        embed_new(self.recommender, self.encoders.states(contents), row, row + len(self.recommender.table))

    def sweep(self) -> None:
        """Removes pictures that no item has, unless somebody else is adding just now."""
        try:
            with self.journal.held():
                self._catch_up()
                gone = self.pictures.sweep(self.recommender.table.shown)
        except UserError as error:
            logger.warning("pictures that no item has are left where they are: %s", error)
        else:
            if gone:
                logger.info("%d pictures that no item has were removed", gone)

    def add(self, item: NewItem) -> Added:
        """Adds one item, on the disk when this returns.

        Raises:
            UploadRefused: The item is at fault.
            ItemExists: Its id is known with other content.
            CannotAdd: The model takes no items.
            JournalHeldError: Another process is adding.
            UserError: The folder cannot be written.
        """
        kinds = self._kinds()
        texts = self._texts(item, kinds)
        shown = _shown(item, kinds)
        decoded = {name: self._decoded(name, content, kinds) for name, content in sorted(item.pictures.items())}
        contents: dict[str, Media | None] = {
            name: texts.get(name) if kind == "text" else _picture(decoded.get(name)) for name, kind in kinds.items()
        }
        hashes = {name: [_hash(item, name, contents[name])] for name in kinds}
        facts = AddedFacts(None if shown is None else _sha256(item.pictures[shown]), dict(item.attributes))
        new = NewItems([str(item.item_id)], [item.title], hashes)
        self._require_model()
        with self.journal.held(self.limits.lock_seconds):
            self._catch_up()
            plan = self._plan(item, new, facts)
            if plan.chosen:
                self._commit(new, plan, contents, facts, None if shown is None else decoded[shown].small)
            outcome: AddedAs = "added" if plan.added else "replaced" if plan.replaced else "unchanged"
            return Added(str(item.item_id), outcome, self.journal.last())

    def remove(self, item_id: str) -> int:
        """Takes one item back; number of the journal's last addition.

        Raises:
            UnknownItems: The model does not know it.
            JournalHeldError: Another process is adding.
            UserError: The folder cannot be written.
        """
        self._require_model()
        with self.journal.held(self.limits.lock_seconds):
            self._catch_up()
            table = self.recommender.table
            row = table.row(item_id)
            if row is None:
                raise UnknownItems([item_id])
            if not bool(table.removed[row]):
                self.journal.append(AddedItems.removal([item_id], table.embeddings.shape[1]))
            return self.journal.last()

    def _require_model(self) -> None:
        """The lock would make a folder that is gone anew, in the way of the one that is to take its place."""
        if not (self.model / CONFIG).is_file():
            raise CannotAdd("the model folder is gone", how="ask again when a model is in its place")

    def _kinds(self) -> dict[str, str]:
        if self.encoders is None:
            raise CannotAdd(self.cannot_add or "this model takes no new items")
        return {name: str(identity.get("kind", "text")) for name, identity in self.encoders.identities.items()}

    def _decoded(self, name: str, content: bytes, kinds: Mapping[str, str]) -> DecodedPicture:
        """A picture as the encoder of its modality would have decoded it, so that it is embedded the same."""
        if self.encoders is None or name not in kinds:
            return self.decoding.decode(content, name, AT_LEAST)
        return self.decoding.decode(content, name, self.encoders.at_least(name))

    def _texts(self, item: NewItem, kinds: Mapping[str, str]) -> dict[str, str | None]:
        """Text of each text modality, as given or as the import of the catalogue would have made it."""
        of_kind = [name for name, kind in kinds.items() if kind == "text"]
        unknown = sorted(set(item.texts) - set(of_kind))
        if unknown:
            raise UploadRefused(
                f"the model reads no text {unknown[0]!r}", how=f"it reads: {', '.join(of_kind) or 'no text'}"
            )
        fields = {**item.attributes, **({self.columns.title: item.title} if self.columns.title else {})}
        texts = {}
        for name in of_kind:
            template = parse_template(self.columns.texts.get(name, self.columns.title or "title"))
            row = {field: fields.get(field) for field in template.fields}
            made = item.title if not self.columns.texts and self.columns.title is None else template.render(row)
            text = item.texts.get(name, made)
            texts[name] = None if is_missing(text) else text
        return texts

    def _plan(self, item: NewItem, new: NewItems, facts: AddedFacts) -> AdditionPlan:
        """What to do, where a title or attributes that differ count as other content too."""
        table = self.recommender.table
        plan = plan_additions(new, table, on_existing=_or_skip(item), on_empty="skip", where="")
        if plan.empty:
            raise UploadRefused(
                "the item has nothing that the model reads", how=f"give it one of: {', '.join(new.hashes)}"
            )
        row = table.row(new.item_ids[0])
        if plan.unchanged and row is not None and not self._same(row, item, facts):
            plan = AdditionPlan([0], [row], replaced=1) if item.on_existing == "replace" else AdditionPlan(skipped=1)
        if plan.skipped:
            raise ItemExists(
                f"item {new.item_ids[0]!r} is there already with other content",
                how="send on_existing=replace to replace it, or choose another id",
            )
        return plan

    def _same(self, row: int, item: NewItem, facts: AddedFacts) -> bool:
        """Whether an item whose content is known has the same title, and what else was kept of it."""
        table = self.recommender.table
        known = table.facts.get(row)
        kept = not item.attributes if known is None else known == facts
        return kept and table.titles[row] == item.title

    def _commit(
        self,
        new: NewItems,
        plan: AdditionPlan,
        contents: Mapping[str, Media | None],
        facts: AddedFacts,
        small: bytes | None,
    ) -> None:
        if self.encoders is None:
            raise CannotAdd(self.cannot_add or "this model takes no new items")
        source = self.encoders.states({name: [content] for name, content in contents.items()})

        def keep(positions: Sequence[int]) -> dict[int, AddedFacts]:
            if facts.picture is not None and small is not None:
                self.pictures.keep(facts.picture, small)
            return dict.fromkeys(positions, facts)

        append_items(self.journal, self.recommender, source, new, plan, facts_of=keep)

    def _catch_up(self) -> None:
        """Takes in what others did to the model folder since."""
        table = self.recommender.table
        if self.journal.version()[1:] != self._weights or self.journal.absorbed() > table.last_addition:
            self._open()
            return
        later = self.journal.read(table.last_addition, table.embeddings.shape[1])
        self.recommender.item_table = table.with_additions(later)


def serve(reading: BinaryIO, writing: BinaryIO) -> None:
    """Answers one request after the other until the input ends.

    Args:
        reading: The set-up first, then requests.
        writing: One answer each, the first when the encoders are loaded.
    """
    setup = read_frame(reading)
    if setup is None:
        return
    options = AdderOptions.model_validate(setup.head["options"])
    limits = UploadLimits.model_validate(setup.head["limits"])
    # One processor is left to recommendations, where there are several.
    torch.set_num_threads(options.threads or max(1, (os.cpu_count() or 1) - 1))
    try:
        worker = AdderWorker(Path(setup.head["model"]), options, limits)
    except UserError as error:
        write_frame(writing, Frame({"error": as_data(error)}))
        return
    worker.sweep()
    worker.warm_up()
    write_frame(writing, Frame({"cannot_add": worker.cannot_add}))
    try:
        while (request := read_frame(reading)) is not None:
            write_frame(writing, answer(worker, request))
    finally:
        worker.decoding.close()


def answer(worker: AdderWorker, request: Frame) -> Frame:
    """What became of one request."""
    try:
        return Frame(_done(worker, request))
    except (UploadRefused, ItemExists, CannotAdd, UnknownItems) as error:
        return Frame({"error": as_data(error)})
    except JournalHeldError as error:
        return Frame({"error": as_data(AdderBusy(error.what, how="ask again in a moment"))})
    except UserError as error:
        logger.warning("an item was not added: %s", error)
        return Frame({"error": as_data(CannotAdd(error.what, where=error.where, how=error.how))})
    except Exception:
        logger.exception("an item was not added")
        return Frame({"error": as_data(AdderFailed("adding failed by a fault of the program", how="see its log"))})


def _done(worker: AdderWorker, request: Frame) -> dict[str, Any]:
    head = request.head
    if head["do"] == "remove":
        return {"addition": worker.remove(head["item_id"])}
    pictures = dict(zip(head["pictures"], request.blobs, strict=True))
    added = worker.add(NewItem(pictures=pictures, **head["item"]))
    return {"item_id": added.item_id, "outcome": added.outcome, "addition": added.addition}


def _or_skip(item: NewItem) -> Any:
    return "replace" if item.on_existing == "replace" else "skip"


def _shown(item: NewItem, kinds: Mapping[str, str]) -> str | None:
    """Name of the picture that is shown to people: of the first modality that has one."""
    of_kind = sorted(name for name, kind in kinds.items() if kind == "image")
    unknown = sorted(set(item.pictures) - set(of_kind))
    if unknown and (of_kind or len(unknown) > 1):
        raise UploadRefused(
            f"the model reads no picture {unknown[0]!r}", how=f"it reads: {', '.join(of_kind) or 'no picture'}"
        )
    return next((name for name in [*of_kind, *unknown] if name in item.pictures), None)


def _picture(decoded: DecodedPicture | None) -> Image.Image | None:
    return None if decoded is None else decoded.picture


def _hash(item: NewItem, name: str, content: Media | None) -> str | None:
    """Of a picture that of its file, as with `add-items`, so that both know the same item as the same."""
    if content is None:
        return None
    return _sha256(content.encode() if isinstance(content, str) else item.pictures[name])


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """The program; the service starts it."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    leave_no_core()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    writing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not get among the frames.
    serve(sys.stdin.buffer, writing)


if __name__ == "__main__":
    main()
