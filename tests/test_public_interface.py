"""What the package exports: each name exists, has a docstring, and each verb has its function."""

from __future__ import annotations

import inspect

import pytest

import iisan

NAMES = [name for name in iisan.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_exists_and_is_documented(name: str) -> None:
    exported = getattr(iisan, name)
    assert inspect.getdoc(exported)
    assert exported.__name__ == name


def test_every_verb_has_a_function() -> None:
    verbs = {
        "import_delimited",
        "import_iisan",
        "import_recbole",
        "import_movielens",
        "import_amazon_2023",
        "import_microlens",
        "examine_dataset",
        "encode_dataset",
        "describe_store",
        "verify_store",
        "train_recommender",
        "evaluate_model",
        "evaluate_models",
        "recommend",
        "add_items",
        "cold_start",
        "compare_methods",
        "explain_recommendations",
        "import_dataset_states",
        "import_huggingface",
        "import_webdataset",
        "plan_run",
        "import_checkpoint",
        "export_model",
        "export_onnx",
        "export_vectors",
        "run_demo",
    }
    assert verbs <= set(NAMES)


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = iisan.nonsense
