"""Next-item recommendation from frozen foundation models and small side networks (IISAN).

The public interface is what this module exports. Each verb of the command line has a function here that does the same.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from iisan.data.dataset import Dataset
    from iisan.data.importers.delimited import DelimitedImport, import_delimited
    from iisan.data.importers.iisan import IisanImport, import_iisan
    from iisan.data.split import Split, leave_one_out
    from iisan.encoders.config import EncoderConfig
    from iisan.encoders.load import load_encoder
    from iisan.errors import UserError
    from iisan.jobs.encode import EncodeJob, encode_dataset
    from iisan.jobs.evaluate import EvaluateJob, evaluate_model
    from iisan.jobs.recommend import RecommendJob, recommend
    from iisan.jobs.train import TrainJob, train_recommender
    from iisan.models.recommender import Recommendation, Recommender
    from iisan.states.store import HiddenStateStore
    from iisan.training.config import TrainConfig

# Where each public name lives. They are imported when first used: `iisan --help` should not wait for transformers.
_HOMES = {
    "Dataset": "data.dataset",
    "DelimitedImport": "data.importers.delimited",
    "EncodeJob": "jobs.encode",
    "EncoderConfig": "encoders.config",
    "EvaluateJob": "jobs.evaluate",
    "HiddenStateStore": "states.store",
    "IisanImport": "data.importers.iisan",
    "RecommendJob": "jobs.recommend",
    "Recommendation": "models.recommender",
    "Recommender": "models.recommender",
    "Split": "data.split",
    "TrainConfig": "training.config",
    "TrainJob": "jobs.train",
    "UserError": "errors",
    "encode_dataset": "jobs.encode",
    "evaluate_model": "jobs.evaluate",
    "import_delimited": "data.importers.delimited",
    "import_iisan": "data.importers.iisan",
    "leave_one_out": "data.split",
    "load_encoder": "encoders.load",
    "recommend": "jobs.recommend",
    "train_recommender": "jobs.train",
}

__all__ = [
    "Dataset",
    "DelimitedImport",
    "EncodeJob",
    "EncoderConfig",
    "EvaluateJob",
    "HiddenStateStore",
    "IisanImport",
    "RecommendJob",
    "Recommendation",
    "Recommender",
    "Split",
    "TrainConfig",
    "TrainJob",
    "UserError",
    "__version__",
    "encode_dataset",
    "evaluate_model",
    "import_delimited",
    "import_iisan",
    "leave_one_out",
    "load_encoder",
    "recommend",
    "train_recommender",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'iisan' has no attribute {name!r}")
    return getattr(import_module(f"iisan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
