"""The hidden-state store: written once by an encoder, read back by training."""

from iisan.states.cached_source import CachedSource
from iisan.states.content import Content, content_hash
from iisan.states.describe import StoreDescription, describe_store
from iisan.states.encode_items import EncodeReport, encode_items
from iisan.states.import_states import ImportedStates, ImportReport, import_states
from iisan.states.index import IndexEntry
from iisan.states.item_id_files import ids_of_states, read_item_ids
from iisan.states.live_source import LiveSource
from iisan.states.manifest import StoreDtype
from iisan.states.same_store import StoreSpec
from iisan.states.sources import ItemStates, ModalityShape, StateSource
from iisan.states.state_rows import StateRows, open_states
from iisan.states.store import HiddenStateStore
from iisan.states.verify import VerifyReport, verify_store
from iisan.states.writer import StoreWriter

__all__ = [
    "CachedSource",
    "Content",
    "EncodeReport",
    "HiddenStateStore",
    "ImportReport",
    "ImportedStates",
    "IndexEntry",
    "ItemStates",
    "LiveSource",
    "ModalityShape",
    "StateRows",
    "StateSource",
    "StoreDescription",
    "StoreDtype",
    "StoreSpec",
    "StoreWriter",
    "VerifyReport",
    "content_hash",
    "describe_store",
    "encode_items",
    "ids_of_states",
    "import_states",
    "open_states",
    "read_item_ids",
    "verify_store",
]
