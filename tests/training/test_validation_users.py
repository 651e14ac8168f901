"""Validation on some of the users, for logs where ranking for all of them takes longer than the epoch."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from iisan.evaluation.evaluate import rank_users
from iisan.evaluation.metrics import ranking_metrics
from iisan.evaluation.scorers import RecommenderScorer
from iisan.jobs.train import Validation
from tests.toy_run import N_USERS, toy_config, toy_source, toy_split, toy_trainer


def test_metrics_are_those_of_the_chosen_users(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "iisan")
    model, split, source = toy_trainer(tmp_path, toy_config()).model, toy_split(), toy_source()
    items = model.embed_items(source)
    ranks = rank_users(RecommenderScorer(model, items), split, "valid", 5)
    chosen = {}
    for seed in (0, 1, 0):
        validate = Validation(source, split, toy_config(validation_users=7, seed=seed))
        assert validate.users is not None
        assert len(set(validate.users.tolist())) == 7
        assert validate(model) == ranking_metrics(ranks[validate.users], (10,))
        assert np.array_equal(chosen.setdefault(seed, validate.users), validate.users)
    assert not np.array_equal(chosen[0], chosen[1])
    assert f"validation on 7 of {N_USERS} users" in caplog.text


@pytest.mark.parametrize("limit", [None, N_USERS, 10**6])
def test_all_users_by_default_and_where_there_are_no_more(tmp_path: Path, limit: int | None) -> None:
    assert Validation(toy_source(), toy_split(), toy_config(validation_users=limit)).users is None
