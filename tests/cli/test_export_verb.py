"""``iisan export`` as it is typed in."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from iisan.jobs.export import graph_file
from iisan.jobs.train import TrainOutcome
from iisan.models.recommender import Recommender
from tests.cli.conftest import Cli
from tests.exported_models import recommender


def test_a_model_folder(cli: Cli, trained: TrainOutcome, tmp_path: Path) -> None:
    out = tmp_path / "model"
    first = cli("export", "model", trained.folder.parent, out)
    assert (first.code, first.out, first.err) == (0, f"24 items: {out}\n", "")
    assert len(Recommender.from_pretrained(out).table) == 24
    again = cli("export", "model", trained.folder.parent, out)
    assert again.code == 2
    assert again.error_lines == [f"error: {out}: the model exists already; choose another name or overwrite it"]
    assert cli("export", "model", trained.folder.parent, out, "--overwrite").code == 0


def test_vectors_of_items_and_users(cli: Cli, trained: TrainOutcome, tmp_path: Path) -> None:
    (tmp_path / "h.tsv").write_text("ann\ti0 i1\nbob\tghost i2\n", encoding="utf-8")
    out = tmp_path / "items.parquet"
    ended = cli("export", "vectors", trained.folder, out, "--histories", tmp_path / "h.tsv", "--device", "cpu")
    assert (ended.code, ended.out) == (0, f"24 items: {out}\n2 users: {tmp_path / 'items-users.parquet'}\n")
    assert ended.error_lines == ["history bob: item 'ghost' is not in the model's catalogue, passed over"]
    assert pq.read_table(tmp_path / "items-users.parquet")["history"].to_pylist() == [["i0", "i1"], ["i2"]]
    again = cli("export", "vectors", trained.folder, out)
    assert again.code == 2
    assert again.error_lines == [f"error: {out}: the file exists already; choose another name or overwrite it"]
    wrong = cli("export", "vectors", trained.folder, tmp_path / "other.parquet", "--users", tmp_path / "u.parquet")
    assert wrong.error_lines == ["error: a file of users needs histories; see --help"]


def test_onnx(cli: Cli, tmp_path: Path) -> None:
    recommender("id").save_pretrained(tmp_path / "model")
    out = tmp_path / "onnx"
    ended = cli("export", "onnx", tmp_path / "model", out)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("item_encoder.onnx: rows [items]; differs from the model by ")
    assert lines[1].startswith("sequence_encoder.onnx: history [batch, length, 8], real [batch, length]; differs")
    assert lines[2:] == [str(out)]


def test_without_the_extra(cli: Cli, trained: TrainOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_file, "NEEDED", ("no_such_package",))
    ended = cli("export", "onnx", trained.folder, tmp_path / "onnx")
    assert ended.code == 2
    assert ended.error_lines == ["error: an ONNX export needs no_such_package; pip install 'iisan[export]'"]
    assert list(tmp_path.iterdir()) == []
