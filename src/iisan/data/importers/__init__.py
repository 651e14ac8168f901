"""Importers: from files of others to a dataset folder, one file a format."""

from iisan.data.importers.amazon_2023 import Amazon2023Import, import_amazon_2023
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.data.importers.huggingface import HuggingFaceImport, import_huggingface
from iisan.data.importers.iisan import IisanImport, import_iisan
from iisan.data.importers.microlens import MicroLensImport, import_microlens
from iisan.data.importers.movielens import MovieLensImport, import_movielens
from iisan.data.importers.recbole import RecBoleImport, import_recbole
from iisan.data.importers.webdataset import WebDatasetImport, import_webdataset

__all__ = [
    "Amazon2023Import",
    "DelimitedImport",
    "HuggingFaceImport",
    "IisanImport",
    "MicroLensImport",
    "MovieLensImport",
    "RecBoleImport",
    "WebDatasetImport",
    "import_amazon_2023",
    "import_delimited",
    "import_huggingface",
    "import_iisan",
    "import_microlens",
    "import_movielens",
    "import_recbole",
    "import_webdataset",
]
