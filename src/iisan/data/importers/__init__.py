"""Importers: from files of others to a dataset folder, one file a format."""

from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.data.importers.iisan import IisanImport, import_iisan

__all__ = ["DelimitedImport", "IisanImport", "import_delimited", "import_iisan"]
