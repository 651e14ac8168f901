"""Next-item recommendation from frozen foundation models and small side networks (IISAN).

The public interface is what this module exports. Each verb of the command line has a function here that does the same.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from iisan.data.dataset import Dataset
    from iisan.data.doctor.options import DoctorOptions
    from iisan.data.doctor.report import DoctorReport
    from iisan.data.global_time import global_time
    from iisan.data.held_out import held_out_rows
    from iisan.data.importers.amazon_2023 import Amazon2023Import, import_amazon_2023
    from iisan.data.importers.delimited import DelimitedImport, import_delimited
    from iisan.data.importers.huggingface import HuggingFaceImport, import_huggingface
    from iisan.data.importers.iisan import IisanImport, import_iisan
    from iisan.data.importers.microlens import MicroLensImport, import_microlens
    from iisan.data.importers.movielens import MovieLensImport, import_movielens
    from iisan.data.importers.recbole import RecBoleImport, import_recbole
    from iisan.data.importers.webdataset import WebDatasetImport, import_webdataset
    from iisan.data.leave_one_out import leave_one_out
    from iisan.data.split import Split
    from iisan.demo.run import run_demo
    from iisan.demo.shop import ShopConfig
    from iisan.efficiency.plan import Plan
    from iisan.efficiency.report.comparison import Comparison, compare_outcomes
    from iisan.efficiency.report.write import write_reports
    from iisan.encoders.config import EncoderConfig
    from iisan.encoders.load import load_encoder
    from iisan.errors import UserError
    from iisan.evaluation.cold_start import ColdStart
    from iisan.evaluation.evaluate import Evaluation
    from iisan.jobs.add_items import AddItemsJob, AddItemsOutcome, add_items
    from iisan.jobs.cold_start import ColdStartJob, cold_start
    from iisan.jobs.compare import CompareJob, CompareOutcome, compare_methods
    from iisan.jobs.doctor import DoctorJob, examine_dataset
    from iisan.jobs.encode import EncodeJob, encode_dataset
    from iisan.jobs.evaluate import EvaluateJob, evaluate_model
    from iisan.jobs.evaluate_models import EvaluateModelsJob, EvaluateModelsOutcome, evaluate_models
    from iisan.jobs.evaluate_outcome import EvaluateOutcome
    from iisan.jobs.explain import ExplainJob, ExplainOutcome, explain_recommendations
    from iisan.jobs.export.model_folder import ExportModelJob, ModelExport, export_model
    from iisan.jobs.export.onnx_folder import ExportOnnxJob, OnnxExport, export_onnx
    from iisan.jobs.export.vectors import ExportVectorsJob, VectorsExport, export_vectors
    from iisan.jobs.import_checkpoint import ImportCheckpointJob, import_checkpoint
    from iisan.jobs.import_states import ImportStatesJob, import_dataset_states
    from iisan.jobs.plan import PlanJob, plan_run
    from iisan.jobs.recommend import RecommendJob, RecommendOutcome, recommend
    from iisan.jobs.train import TrainJob, TrainOutcome, train_recommender
    from iisan.models.recommender import Recommendation, Recommender
    from iisan.serving.serve import serve
    from iisan.serving.settings import ServeSettings
    from iisan.states.describe import StoreDescription, describe_store
    from iisan.states.encode_items import EncodeReport
    from iisan.states.import_states import ImportReport
    from iisan.states.store import HiddenStateStore
    from iisan.states.verify import VerifyReport, verify_store
    from iisan.training.config import TrainConfig

# Where each public name lives. They are imported when first used: `import iisan` should not wait for transformers.
_HOMES = {
    "AddItemsJob": "jobs.add_items",
    "AddItemsOutcome": "jobs.add_items",
    "Amazon2023Import": "data.importers.amazon_2023",
    "ColdStart": "evaluation.cold_start",
    "ColdStartJob": "jobs.cold_start",
    "CompareJob": "jobs.compare",
    "CompareOutcome": "jobs.compare",
    "Comparison": "efficiency.report.comparison",
    "Dataset": "data.dataset",
    "DelimitedImport": "data.importers.delimited",
    "DoctorJob": "jobs.doctor",
    "DoctorOptions": "data.doctor.options",
    "DoctorReport": "data.doctor.report",
    "EncodeJob": "jobs.encode",
    "EncodeReport": "states.encode_items",
    "EncoderConfig": "encoders.config",
    "EvaluateJob": "jobs.evaluate",
    "EvaluateModelsJob": "jobs.evaluate_models",
    "EvaluateModelsOutcome": "jobs.evaluate_models",
    "EvaluateOutcome": "jobs.evaluate_outcome",
    "Evaluation": "evaluation.evaluate",
    "ExplainJob": "jobs.explain",
    "ExplainOutcome": "jobs.explain",
    "ExportModelJob": "jobs.export.model_folder",
    "ExportOnnxJob": "jobs.export.onnx_folder",
    "ExportVectorsJob": "jobs.export.vectors",
    "HiddenStateStore": "states.store",
    "HuggingFaceImport": "data.importers.huggingface",
    "IisanImport": "data.importers.iisan",
    "ImportCheckpointJob": "jobs.import_checkpoint",
    "ImportReport": "states.import_states",
    "ImportStatesJob": "jobs.import_states",
    "MicroLensImport": "data.importers.microlens",
    "ModelExport": "jobs.export.model_folder",
    "MovieLensImport": "data.importers.movielens",
    "OnnxExport": "jobs.export.onnx_folder",
    "Plan": "efficiency.plan",
    "PlanJob": "jobs.plan",
    "RecBoleImport": "data.importers.recbole",
    "RecommendJob": "jobs.recommend",
    "RecommendOutcome": "jobs.recommend",
    "Recommendation": "models.recommender",
    "Recommender": "models.recommender",
    "ServeSettings": "serving.settings",
    "ShopConfig": "demo.shop",
    "Split": "data.split",
    "StoreDescription": "states.describe",
    "TrainConfig": "training.config",
    "TrainJob": "jobs.train",
    "TrainOutcome": "jobs.train",
    "UserError": "errors",
    "VectorsExport": "jobs.export.vectors",
    "VerifyReport": "states.verify",
    "WebDatasetImport": "data.importers.webdataset",
    "add_items": "jobs.add_items",
    "cold_start": "jobs.cold_start",
    "compare_methods": "jobs.compare",
    "compare_outcomes": "efficiency.report.comparison",
    "describe_store": "states.describe",
    "encode_dataset": "jobs.encode",
    "evaluate_model": "jobs.evaluate",
    "evaluate_models": "jobs.evaluate_models",
    "examine_dataset": "jobs.doctor",
    "explain_recommendations": "jobs.explain",
    "export_model": "jobs.export.model_folder",
    "export_onnx": "jobs.export.onnx_folder",
    "export_vectors": "jobs.export.vectors",
    "global_time": "data.global_time",
    "held_out_rows": "data.held_out",
    "import_amazon_2023": "data.importers.amazon_2023",
    "import_checkpoint": "jobs.import_checkpoint",
    "import_dataset_states": "jobs.import_states",
    "import_delimited": "data.importers.delimited",
    "import_huggingface": "data.importers.huggingface",
    "import_iisan": "data.importers.iisan",
    "import_microlens": "data.importers.microlens",
    "import_movielens": "data.importers.movielens",
    "import_recbole": "data.importers.recbole",
    "import_webdataset": "data.importers.webdataset",
    "leave_one_out": "data.leave_one_out",
    "load_encoder": "encoders.load",
    "plan_run": "jobs.plan",
    "recommend": "jobs.recommend",
    "run_demo": "demo.run",
    "serve": "serving.serve",
    "train_recommender": "jobs.train",
    "verify_store": "states.verify",
    "write_reports": "efficiency.report.write",
}

__all__ = [
    "AddItemsJob",
    "AddItemsOutcome",
    "Amazon2023Import",
    "ColdStart",
    "ColdStartJob",
    "CompareJob",
    "CompareOutcome",
    "Comparison",
    "Dataset",
    "DelimitedImport",
    "DoctorJob",
    "DoctorOptions",
    "DoctorReport",
    "EncodeJob",
    "EncodeReport",
    "EncoderConfig",
    "EvaluateJob",
    "EvaluateModelsJob",
    "EvaluateModelsOutcome",
    "EvaluateOutcome",
    "Evaluation",
    "ExplainJob",
    "ExplainOutcome",
    "ExportModelJob",
    "ExportOnnxJob",
    "ExportVectorsJob",
    "HiddenStateStore",
    "HuggingFaceImport",
    "IisanImport",
    "ImportCheckpointJob",
    "ImportReport",
    "ImportStatesJob",
    "MicroLensImport",
    "ModelExport",
    "MovieLensImport",
    "OnnxExport",
    "Plan",
    "PlanJob",
    "RecBoleImport",
    "RecommendJob",
    "RecommendOutcome",
    "Recommendation",
    "Recommender",
    "ServeSettings",
    "ShopConfig",
    "Split",
    "StoreDescription",
    "TrainConfig",
    "TrainJob",
    "TrainOutcome",
    "UserError",
    "VectorsExport",
    "VerifyReport",
    "WebDatasetImport",
    "__version__",
    "add_items",
    "cold_start",
    "compare_methods",
    "compare_outcomes",
    "describe_store",
    "encode_dataset",
    "evaluate_model",
    "evaluate_models",
    "examine_dataset",
    "explain_recommendations",
    "export_model",
    "export_onnx",
    "export_vectors",
    "global_time",
    "held_out_rows",
    "import_amazon_2023",
    "import_checkpoint",
    "import_dataset_states",
    "import_delimited",
    "import_huggingface",
    "import_iisan",
    "import_microlens",
    "import_movielens",
    "import_recbole",
    "import_webdataset",
    "leave_one_out",
    "load_encoder",
    "plan_run",
    "recommend",
    "run_demo",
    "serve",
    "train_recommender",
    "verify_store",
    "write_reports",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'iisan' has no attribute {name!r}")
    return getattr(import_module(f"iisan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
