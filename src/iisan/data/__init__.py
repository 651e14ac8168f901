"""Datasets: the canonical folder, importers, leave-one-out split, training windows and batches."""

from iisan.data.contents import DatasetContents
from iisan.data.dataset import Dataset
from iisan.data.epoch_order import EpochOrder
from iisan.data.evaluation_batches import EvaluationBatch, evaluation_batch
from iisan.data.importers import DelimitedImport, IisanImport, import_delimited, import_iisan
from iisan.data.interactions import Interactions
from iisan.data.manifest import DatasetManifest, ModalityKind
from iisan.data.media import MediaPolicy
from iisan.data.split import Split, leave_one_out, popularity
from iisan.data.text_template import TextTemplate, parse_template
from iisan.data.windows import training_windows
from iisan.data.writer import write_dataset

__all__ = [
    "Dataset",
    "DatasetContents",
    "DatasetManifest",
    "DelimitedImport",
    "EpochOrder",
    "EvaluationBatch",
    "IisanImport",
    "Interactions",
    "MediaPolicy",
    "ModalityKind",
    "Split",
    "TextTemplate",
    "evaluation_batch",
    "import_delimited",
    "import_iisan",
    "leave_one_out",
    "parse_template",
    "popularity",
    "training_windows",
    "write_dataset",
]
