"""Datasets: the canonical folder, importers, splits, training windows and batches."""

from iisan.data.contents import DatasetContents
from iisan.data.dataset import Dataset
from iisan.data.epoch_order import EpochOrder
from iisan.data.evaluation_batches import EvaluationBatch, evaluation_batch
from iisan.data.global_time import global_time
from iisan.data.held_out import held_out_rows
from iisan.data.histories import Histories
from iisan.data.importers import (
    Amazon2023Import,
    DelimitedImport,
    HuggingFaceImport,
    IisanImport,
    MicroLensImport,
    MovieLensImport,
    RecBoleImport,
    WebDatasetImport,
    import_amazon_2023,
    import_delimited,
    import_huggingface,
    import_iisan,
    import_microlens,
    import_movielens,
    import_recbole,
    import_webdataset,
)
from iisan.data.interactions import Interactions
from iisan.data.leave_one_out import leave_one_out
from iisan.data.manifest import DatasetManifest, ModalityKind
from iisan.data.media import MediaPolicy
from iisan.data.picture_source import PictureSource
from iisan.data.split import Split, popularity
from iisan.data.split_options import SplitOptions
from iisan.data.text_template import TextTemplate, parse_template
from iisan.data.windows import training_windows
from iisan.data.writer import write_dataset

__all__ = [
    "Amazon2023Import",
    "Dataset",
    "DatasetContents",
    "DatasetManifest",
    "DelimitedImport",
    "EpochOrder",
    "EvaluationBatch",
    "Histories",
    "HuggingFaceImport",
    "IisanImport",
    "Interactions",
    "MediaPolicy",
    "MicroLensImport",
    "ModalityKind",
    "MovieLensImport",
    "PictureSource",
    "RecBoleImport",
    "Split",
    "SplitOptions",
    "TextTemplate",
    "WebDatasetImport",
    "evaluation_batch",
    "global_time",
    "held_out_rows",
    "import_amazon_2023",
    "import_delimited",
    "import_huggingface",
    "import_iisan",
    "import_microlens",
    "import_movielens",
    "import_recbole",
    "import_webdataset",
    "leave_one_out",
    "parse_template",
    "popularity",
    "training_windows",
    "write_dataset",
]
