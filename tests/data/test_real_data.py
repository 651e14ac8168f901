"""The published tables give the numbers of the paper's protocol (contract point 10)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from iisan.data import (
    DelimitedImport,
    IisanImport,
    import_delimited,
    import_iisan,
    leave_one_out,
    popularity,
    training_windows,
)


def test_paper_protocol_on_scientific(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "amazon-scientific"
    expected = json.loads((folder / "expected_protocol.json").read_text())
    config = IisanImport(
        items=folder / "Industrial_and_Scientific_items.tsv",
        users=folder / "am_Industrial_and_Scientific_users.tsv",
    )
    dataset = import_iisan(config, tmp_path / "scientific")
    split = leave_one_out(dataset, keep_last=13, catalogue="interacted")
    assert split.n_users == expected["users"]
    assert split.n_candidates == expected["items"]
    assert split.n_interactions == expected["interactions"]
    assert split.n_train_interactions == expected["train_interactions"]
    ids = np.array(dataset.item_ids)
    histories = {
        "train": split.train_history,
        "valid": lambda user: split.valid_history(user, 10),
        "test": lambda user: split.test_history(user, 10),
    }
    for part, history in histories.items():
        text = "\n".join(" ".join(ids[history(user)]) for user in range(split.n_users))
        assert hashlib.sha256(text.encode()).hexdigest() == expected[f"{part}_sha256"], part
    share = popularity(split)
    top = [[ids[row], share[row]] for row in np.argsort(-share, kind="stable")[:5]]
    assert [name for name, _ in top] == [name for name, _ in expected["top_train_popularity"]]
    assert [value for _, value in top] == pytest.approx([value for _, value in expected["top_train_popularity"]])
    assert int((share[split.candidates] == 0).sum()) == expected["zero_train_items"]
    assert (training_windows(split, 10)[:, :-1] > 0).sum() == expected["train_interactions"] - expected["users"]


def test_movielens_with_posters(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "ml100k-posters"
    config = DelimitedImport(
        items=folder / "items.tsv",
        interactions=folder / "interactions.tsv",
        text="{title}. {genres}. {abstract}",
        image_column="image",
        rating_column="rating",
    )
    dataset = import_delimited(config, tmp_path / "ml100k")
    counts = dataset.manifest.counts
    assert (counts.items, counts.users, counts.interactions) == (1429, 943, 99_128)
    assert counts.present == {"text": 1429, "image": 1429}
    dataset.verify()
    # The file is in random order: sort it here with plain lists and compare.
    rows = [line.split("\t") for line in (folder / "interactions.tsv").read_text().splitlines()[1:]]
    users = {user: number for number, user in enumerate(dict.fromkeys(row[0] for row in rows))}
    rows.sort(key=lambda row: (users[row[0]], int(row[3])))
    log = dataset.interactions
    assert [dataset.user_ids[user] for user in log.user] == [row[0] for row in rows]
    assert [dataset.item_ids[item] for item in log.item] == [row[1] for row in rows]
    assert log.rating is not None
    assert log.rating.tolist() == [float(row[2]) for row in rows]
