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
    from iisan.demo.run import run_demo
    from iisan.demo.shop import ShopConfig
    from iisan.encoders.config import EncoderConfig
    from iisan.encoders.load import load_encoder
    from iisan.errors import UserError
    from iisan.evaluation.evaluate import Evaluation
    from iisan.jobs.encode import EncodeJob, encode_dataset
    from iisan.jobs.evaluate import EvaluateJob, EvaluateOutcome, evaluate_model
    from iisan.jobs.import_checkpoint import ImportCheckpointJob, import_checkpoint
    from iisan.jobs.recommend import RecommendJob, RecommendOutcome, recommend
    from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
    from iisan.models.recommender import Recommendation, Recommender
    from iisan.states.describe import StoreDescription, describe_store
    from iisan.states.encode_items import EncodeReport
    from iisan.states.store import HiddenStateStore
    from iisan.states.verify import VerifyReport, verify_store
    from iisan.training.config import TrainConfig

# Where each public name lives. They are imported when first used: `import iisan` should not wait for transformers.
_HOMES = {
    "Dataset": "data.dataset",
    "DelimitedImport": "data.importers.delimited",
    "EncodeJob": "jobs.encode",
    "EncodeReport": "states.encode_items",
    "EncoderConfig": "encoders.config",
    "EvaluateJob": "jobs.evaluate",
    "EvaluateOutcome": "jobs.evaluate",
    "Evaluation": "evaluation.evaluate",
    "HiddenStateStore": "states.store",
    "IisanImport": "data.importers.iisan",
    "ImportCheckpointJob": "jobs.import_checkpoint",
    "RecommendJob": "jobs.recommend",
    "RecommendOutcome": "jobs.recommend",
    "Recommendation": "models.recommender",
    "Recommender": "models.recommender",
    "ShopConfig": "demo.shop",
    "Split": "data.split",
    "StoreDescription": "states.describe",
    "TrainConfig": "training.config",
    "TrainJob": "jobs.train",
    "TrainOutcome": "jobs.train",
    "UserError": "errors",
    "VerifyReport": "states.verify",
    "describe_store": "states.describe",
    "encode_dataset": "jobs.encode",
    "evaluate_model": "jobs.evaluate",
    "import_checkpoint": "jobs.import_checkpoint",
    "import_delimited": "data.importers.delimited",
    "import_iisan": "data.importers.iisan",
    "leave_one_out": "data.split",
    "load_encoder": "encoders.load",
    "recommend": "jobs.recommend",
    "run_demo": "demo.run",
    "train_recommender": "jobs.train",
    "verify_store": "states.verify",
}

__all__ = [
    "Dataset",
    "DelimitedImport",
    "EncodeJob",
    "EncodeReport",
    "EncoderConfig",
    "EvaluateJob",
    "EvaluateOutcome",
    "Evaluation",
    "HiddenStateStore",
    "IisanImport",
    "ImportCheckpointJob",
    "RecommendJob",
    "RecommendOutcome",
    "Recommendation",
    "Recommender",
    "ShopConfig",
    "Split",
    "StoreDescription",
    "TrainConfig",
    "TrainJob",
    "TrainOutcome",
    "UserError",
    "VerifyReport",
    "__version__",
    "describe_store",
    "encode_dataset",
    "evaluate_model",
    "import_checkpoint",
    "import_delimited",
    "import_iisan",
    "leave_one_out",
    "load_encoder",
    "recommend",
    "run_demo",
    "train_recommender",
    "verify_store",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'iisan' has no attribute {name!r}")
    return getattr(import_module(f"iisan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
