"""The verb `plan`."""

from __future__ import annotations

import json

from iisan.data.dataset import Dataset
from tests.cli.conftest import Cli
from tests.conftest import TINY


def test_a_plan_is_printed_and_given_as_json(cli: Cli, tiny_dataset: Dataset) -> None:
    flags = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", value)]
    words = ["plan", tiny_dataset.path, "--modalities", "text", *flags]
    given = cli(*words, "--format", "json")
    assert given.code == 0, given.err
    plan = json.loads(given.out)
    assert list(plan["caches"]) == ["text"]
    shown = cli(*words, "--method", "id")
    assert shown.code == 0, shown.err
    for word in ("id, batch 16, on cpu", "states on disk", "largest batch", "may be off by", "a batch of 16 fits"):
        assert word in shown.out


def test_bad_options_are_one_line(cli: Cli, tiny_dataset: Dataset) -> None:
    for words, said in (
        (["nowhere"], "not a dataset"),
        ([tiny_dataset.path, "--method", "magic"], "--method"),
        ([tiny_dataset.path, "--modalities", "smell"], "no modality 'smell'"),
    ):
        refused = cli("plan", *words)
        assert (refused.code, len(refused.error_lines)) == (2, 1), refused.err
        assert said in refused.err
