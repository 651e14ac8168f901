"""Requests made up from the OpenAPI schema: whatever comes, the service answers, and never with its own fault."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from iisan.data.dataset import Dataset
from iisan.jobs.train import TrainOutcome
from tests.conftest import TinyModels
from tests.serving.running import Running, running
from tests.serving.test_writing import wait_until_ready

schemathesis = pytest.importorskip("schemathesis")

OPERATIONS = [
    "GET /about",
    "GET /healthz",
    "GET /items",
    "GET /items/{item_id}",
    "GET /items/{item_id}/picture",
    "GET /map",
    "GET /metrics",
    "GET /readyz",
    "GET /similar/{item_id}",
    "POST /explain",
    "POST /recommend",
    "POST /recommend/batch",
    "POST /items",
    "DELETE /items/{item_id}",
]

# Of the others, nothing that can be sent is against the schema: any text may be an id.
CAN_BE_WRONG = ["GET /items", "GET /map", "GET /similar/{item_id}", "POST /explain", "POST /recommend"]
CAN_BE_WRONG += ["POST /recommend/batch", "POST /items"]
WAYS = [*((name, "positive") for name in OPERATIONS), *((name, "negative") for name in CAN_BE_WRONG)]


@pytest.fixture(scope="module")
def served(
    trained: TrainOutcome, tiny_dataset: Dataset, tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzzed") / "model"
    shutil.copytree(trained.folder, folder)
    encoders = [f"text={tiny_models.text}", f"image={tiny_models.image}"]
    with running(folder, dataset=tiny_dataset.path, encoder=encoders) as found:
        wait_until_ready(found.client)
        yield found


@pytest.fixture(scope="module")
def operations(served: Running) -> dict[str, Any]:
    """Operations of the schema by method and path."""
    schema = schemathesis.openapi.from_url(f"{served.client.base_url}/openapi.json")
    found = [one.ok() for one in schema.get_all_operations()]
    return {f"{one.method.upper()} {one.path}": one for one in found}


def test_every_operation_is_tried(operations: dict[str, Any]) -> None:
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("examples", [30, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "mode"), WAYS)
def test_nothing_is_the_services_fault(
    served: Running, operations: dict[str, Any], name: str, mode: str, examples: int
) -> None:
    operation = operations[name]
    generation = schemathesis.GenerationMode(mode)
    documented = set(operation.definition.raw["responses"])
    statuses: set[int] = set()

    @given(case=operation.as_strategy(generation_mode=generation))
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    def attack(case: Any) -> None:
        answer = case.call(timeout=60)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (answer.status_code, answer.text, case.as_curl_command())
        # Odd methods and paths that are no route have answers that no operation documents.
        assert str(answer.status_code) in documented | {"404", "405", "400"}, (answer.text, case.as_curl_command())
        if answer.status_code >= 400 and answer.content:
            assert answer.headers["content-type"][0] == "application/problem+json"
            assert answer.json()["detail"]

    attack()
    assert statuses
    assert served.client.get("/readyz").status_code == 200
    assert served.client.post("/recommend", json={"history": ["i1"], "k": 3}).status_code == 200
