"""Each verb does what the library does, and bad input is one line and exit code 2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from iisan.cli.cold_start import ColdStartOutput
from iisan.cli.demo import DemoOptions
from iisan.cli.doctor import DoctorOutput
from iisan.cli.evaluate import EvaluateOutput
from iisan.data.dataset import Dataset
from iisan.data.doctor.options import DoctorOptions
from iisan.data.importers.amazon_2023 import Amazon2023Import
from iisan.data.importers.delimited import DelimitedImport
from iisan.data.importers.huggingface import HuggingFaceImport
from iisan.data.importers.iisan import IisanImport
from iisan.data.importers.microlens import MicroLensImport
from iisan.data.importers.movielens import MovieLensImport
from iisan.data.importers.recbole import RecBoleImport
from iisan.data.importers.webdataset import WebDatasetImport
from iisan.jobs.add_items import AddItemsJob
from iisan.jobs.cold_start import ColdStartJob
from iisan.jobs.doctor import DoctorJob
from iisan.jobs.encode import EncodeJob
from iisan.jobs.evaluate_models import EvaluateModelsJob
from iisan.jobs.explain import ExplainJob
from iisan.jobs.import_checkpoint import ImportCheckpointJob
from iisan.jobs.import_states import ImportStatesJob
from iisan.jobs.recommend import RecommendJob
from iisan.jobs.train import TrainJob, TrainOutcome
from iisan.models.recommender import Recommender
from iisan.training.config import TrainConfig
from iisan.training.trainer import LAST, METRICS
from tests.cli.conftest import Cli
from tests.conftest import N_ITEMS, NO_PICTURE, NO_TEXT, TINY, TinyModels
from tests.reference_layout import reference_weights

VERBS: dict[tuple[str, ...], tuple[type[BaseModel], ...]] = {
    ("import", "delimited"): (DelimitedImport,),
    ("import", "iisan"): (IisanImport,),
    ("import", "recbole"): (RecBoleImport,),
    ("import", "movielens"): (MovieLensImport,),
    ("import", "amazon-2023"): (Amazon2023Import,),
    ("import", "microlens"): (MicroLensImport,),
    ("import", "webdataset"): (WebDatasetImport,),
    ("import", "huggingface"): (HuggingFaceImport,),
    ("doctor",): (DoctorJob, DoctorOptions, DoctorOutput),
    ("encode",): (EncodeJob,),
    ("states", "import"): (ImportStatesJob,),
    ("train",): (TrainJob, TrainConfig),
    ("evaluate",): (EvaluateModelsJob, EvaluateOutput),
    ("recommend",): (RecommendJob,),
    ("add-items",): (AddItemsJob,),
    ("cold-start",): (ColdStartJob, ColdStartOutput),
    ("explain",): (ExplainJob,),
    ("import-checkpoint",): (ImportCheckpointJob,),
    ("demo",): (DemoOptions,),
}
# Of the run that is interrupted in its third.
N_EPOCHS = 12
TINY_FLAGS: list[object] = [
    word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))
]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_lists_every_field(cli: Cli, verb: tuple[str, ...]) -> None:
    result = cli(*verb, "--help")
    assert (result.code, result.err) == (0, "")
    words = result.out.replace("\n", " ").split()
    for model in VERBS[verb]:
        for name in model.model_fields:
            assert f"--{name.replace('_', '-')}" in words or name.upper() in words, name
    assert "--config" in words
    assert max(map(len, result.out.splitlines())) <= 80


def test_help_of_the_whole_names_every_verb(cli: Cli) -> None:
    words = cli("--help").out.split()
    assert {verb[0] for verb in VERBS} | {"states"} <= set(words)
    assert cli().code == 2
    assert "states" in cli().err


def test_the_main_job(cli: Cli, tiny_tables: Path, tiny_models: TinyModels, tmp_path: Path) -> None:
    tables = ("--items", tiny_tables / "items.csv", "--interactions", tiny_tables / "interactions.csv")
    imported = cli("import", "delimited", tmp_path / "ds", *tables, "--image-column", "image")
    assert imported.code == 0, imported.err
    assert "with image" in imported.out
    models = ("--text-model", tiny_models.text, "--image-model", tiny_models.image)
    encoded = cli("encode", tmp_path / "ds", *models, "--taps", "0,2,4", "--store-dtype", "float32")
    assert encoded.code == 0, encoded.err
    assert str(N_ITEMS - len(NO_TEXT)) in encoded.out
    assert str(len(NO_PICTURE)) in encoded.out
    assert cli("states", "verify", tmp_path / "ds" / "states" / "text").code == 0
    trained = cli("train", tmp_path / "ds", tmp_path / "run", *TINY_FLAGS)
    assert trained.code == 0, trained.err
    assert str(tmp_path / "run" / "model") in trained.out
    assert [line.split()[:2] for line in trained.error_lines if line.startswith("epoch")] == [
        ["epoch", "1"],
        ["epoch", "2"],
        ["epoch", "3"],
    ]
    evaluated = cli("evaluate", tmp_path / "run", tmp_path / "ds", "--ks", "1,10", "--format", "json")
    assert evaluated.code == 0, evaluated.err
    assert set(json.loads(evaluated.out)["model"]["metrics"]["keep_target"]) == {
        "HR@1",
        "HR@10",
        "NDCG@1",
        "NDCG@10",
        "MRR",
    }
    answered = cli("recommend", tmp_path / "run", "--history", "i0 i1", "--k", "3", "--format", "json")
    assert answered.code == 0, answered.err
    assert [item["item_id"] for item in json.loads(answered.out)["items"]] == [
        item.item_id
        for item in Recommender.from_pretrained(tmp_path / "run" / "model").recommend([["i0", "i1"]], k=3)[0]
    ]


def test_command_line_and_library_make_the_same_bytes(
    cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    assert cli("train", tiny_dataset.path, tmp_path / "run", *TINY_FLAGS).code == 0
    assert files(tmp_path / "run" / "model") == files(trained.folder)


def test_a_configuration_file_is_the_same_as_flags_and_the_command_line_wins(
    cli: Cli, trained: TrainOutcome, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    lines = [f"{name}: {value}" for name, value in {**TINY, "seed": 7}.items()]
    lines += [f"dataset: {tiny_dataset.path}", "side-dropout: 0.0", "keep_last: none", "modalities: [text, image]"]
    (tmp_path / "tiny.yaml").write_text("\n".join(lines), encoding="utf-8")
    result = cli("train", tiny_dataset.path, tmp_path / "run", "--config", tmp_path / "tiny.yaml", "--seed", "0")
    assert result.code == 0, result.err
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["details"]["training"] == {**trained.model.details["training"], "modalities": ["text", "image"]}
    name = "model.safetensors"
    assert (tmp_path / "run" / "model" / name).read_bytes() == (trained.folder / name).read_bytes()


def test_the_paper_preset_under_own_choices(cli: Cli, tiny_dataset: Dataset, tmp_path: Path) -> None:
    result = cli(
        "train", tiny_dataset.path, tmp_path / "run", "--preset", "paper", "--max-epochs", "1", "--keep-last", "none"
    )
    assert result.code == 0, result.err
    details = Recommender.from_pretrained(tmp_path / "run" / "model").details["training"]
    assert (details["similarity"], details["clip_norm"], details["keep_last"]) == ("dot", None, None)


def test_answers_in_every_form(cli: Cli, trained: TrainOutcome, tmp_path: Path) -> None:
    ask = ("recommend", trained.folder, "--history", "i0 i1", "--history", "i7 ghost", "--k", "2")
    expected = trained.model.recommend([["i0", "i1"], ["i7"]], k=2)
    ids = [item.item_id for items in expected for item in items]
    problem = "history 2: item 'ghost' is not in the model's catalogue, passed over"
    table = cli(*ask)
    assert (table.code, table.error_lines) == (0, [problem])
    assert all(name in table.out.split() for name in ids)
    lines = cli(*ask, "--format", "json")
    assert [item["item_id"] for line in lines.out.splitlines() for item in json.loads(line)["items"]] == ids
    for form in ("table", "json", "parquet"):
        result = cli(*ask, "--format", form, "--output", tmp_path / "new" / f"answers.{form}")
        assert (result.code, result.out, result.error_lines) == (0, "", [problem])
    assert (tmp_path / "new" / "answers.json").read_text(encoding="utf-8") == lines.out
    assert all(name in (tmp_path / "new" / "answers.table").read_text(encoding="utf-8").split() for name in ids)
    rows = pq.read_table(tmp_path / "new" / "answers.parquet").to_pylist()
    assert [(row["user_id"], row["place"], row["item_id"]) for row in rows] == list(
        zip(["1", "1", "2", "2"], [1, 2, 1, 2], ids, strict=True)
    )
    assert len(list((tmp_path / "new").iterdir())) == 3


def test_an_output_that_cannot_be_written(cli: Cli, trained: TrainOutcome, tmp_path: Path) -> None:
    (tmp_path / "old.json").mkdir()
    result = cli("recommend", trained.folder, "--history", "i0", "--format", "json", "--output", tmp_path / "old.json")
    assert (result.code, len(result.error_lines)) == (2, 1)
    assert "cannot be written" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]


def test_titles_are_shown_as_they_are(cli: Cli, trained: TrainOutcome, tmp_path: Path) -> None:
    model = Recommender.from_pretrained(trained.folder)
    table = model.table
    table.titles = [f"[bold]x[/nothing] :smile: {row}" for row in range(N_ITEMS)]
    model.save_pretrained(tmp_path / "model")
    result = cli("recommend", tmp_path / "model", "--history", "i0 i1", "--k", "3")
    assert result.code == 0
    assert result.out.count("[bold]x[/nothing] :smile:") == 3


def test_numeric_ids_stay_one_history(cli: Cli, trained: TrainOutcome, tmp_path: Path) -> None:
    model = Recommender.from_pretrained(trained.folder)
    model.table.item_ids[:] = [str(row) for row in range(N_ITEMS)]
    model.save_pretrained(tmp_path / "model")
    result = cli("recommend", tmp_path / "model", "--history", "0,1,2", "--history", "5", "--format", "json")
    assert result.code == 0, result.err
    assert [json.loads(line)["user_id"] for line in result.out.splitlines()] == ["1", "2"]


def test_a_checkpoint_is_imported(cli: Cli, tiny_dataset: Dataset, tmp_path: Path) -> None:
    import torch

    torch.save(reference_weights(), tmp_path / "c.pt")
    sizes = ["--text-width", "16", "--image-width", "16", "--dim", "8", "--max-length", "6", "--n-layers", "1"]
    layers = ("--text-layers", "1,3", "--image-layers", "1,3")
    result = cli(
        "import-checkpoint", tmp_path / "c.pt", tmp_path / "m", "--dataset", tiny_dataset.path, *layers, *sizes
    )
    assert result.code == 0, result.err
    assert cli("recommend", tmp_path / "m", "--history", "i0").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trane",), "No such command 'trane'"),
        (("train", "--sede", "1"), "No such option: --sede"),
        (("train",), "DATASET is missing"),
        (("train", "DATASET"), "RUN is missing"),
        (("train", "DATASET", "run", "more"), "unexpected extra argument"),
        (("train", "DATASET", "run", "--seed", "-1"), "option --seed: input should be greater than or equal to 0"),
        (("train", "DATASET", "run", "--seed", "one"), "option --seed: input should be a valid integer"),
        (("train", "DATASET", "run", "--seed"), "Option '--seed' requires an argument"),
        (("train", "DATASET", "run", "--seed", "none"), "option --seed"),
        (("train", "DATASET", "run", "--learning-rate", "nan"), "option --learning-rate"),
        (
            ("train", "DATASET", "run", "--method", "magic"),
            "option --method: no method 'magic'",
        ),
        (("train", "DATASET", "run", "--dim", "10", "--n-heads", "3"), "dim (10) is not a multiple of --n-heads (3)"),
        (("train", "DATASET", "run", "--metric", "HR@0"), "option --metric"),
        (("train", "DATASET", "run", "--preset", "best"), "option --preset"),
        (("train", "DATASET", "run", "--min-interactions", "50"), "no user has 50 interactions"),
        (("train", "DATASET", "run", "--modalities", "sound"), "no modality 'sound'"),
        (("train", "DATASET", "run", "--states", "nowhere"), "modality 'image' is not encoded"),
        (("train", "nowhere", "run"), "not a dataset folder"),
        (("encode", "DATASET", "--taps", "0,x"), "option --taps"),
        (("encode", "DATASET", "--text-model", "./nowhere"), "./nowhere"),
        (("evaluate", "MODEL", "DATASET", "--ks", "0"), "option --ks"),
        (("evaluate", "MODEL", "DATASET", "--part", "train"), "option --part"),
        (("evaluate", "nowhere", "DATASET"), "neither a folder nor a model"),
        (("evaluate", "DATASET", "DATASET"), "config.json is missing"),
        (("recommend", "MODEL"), "give exactly one of history, file and dataset"),
        (("recommend", "MODEL", "--history", "ghost"), "'ghost' is not in the model's catalogue"),
        (("recommend", "MODEL", "--history", "i0", "--k", "0"), "option --k"),
        (("recommend", "MODEL", "--history", "i0", "--format", "parquet"), "parquet needs an output file"),
        (("recommend", "MODEL", "--file", "nowhere.jsonl"), "no such file"),
        (("import", "delimited", "out"), "option --items: it is missing"),
        (("import", "delimited", "out", "--items", "no.csv", "--interactions", "no.csv"), "no.csv"),
        (("import-checkpoint", "no.pt", "out"), "no such file"),
        (("states", "info", "DATASET"), "DATASET"),
        (("states", "verify", "nowhere"), "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_code_2(
    cli: Cli,
    trained: TrainOutcome,
    tiny_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    known = {"DATASET": str(tiny_dataset.path), "MODEL": str(trained.folder)}
    result = cli(*(known.get(word, word) for word in words))
    assert result.code == 2
    assert result.out == ""
    assert len(result.error_lines) == 1, result.err
    assert result.err.startswith("error: ")
    assert known.get(message, message) in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sede: 1", "no option is named 'sede'"),
        ("- seed", "not a mapping"),
        ("seed: [", "cannot be read"),
        ("seed: [1, 2]", "option --seed"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_configuration_file_is_one_line(cli: Cli, tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    result = cli("train", "dataset", "run", "--config", path)
    assert (result.code, len(result.error_lines)) == (2, 1)
    assert message in result.err


def test_a_damaged_store_fails_verification(
    cli: Cli, bare_dataset: Path, encode_job: Callable[..., EncodeJob], tmp_path: Path
) -> None:
    from iisan.jobs.encode import encode_dataset

    encode_dataset(encode_job(bare_dataset, modality="text", states=tmp_path))
    shard = next(path for path in sorted((tmp_path / "text").glob("*.safetensors")) if "constant" not in path.name)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 0xFF
    shard.write_bytes(bytes(content))
    assert cli("states", "verify", tmp_path / "text").code == 1


def spawn(*words: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", "from iisan.cli.entry import main; main()", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_process_of_its_own_ends_with_the_code_and_the_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    process = spawn("recommend", tmp_path / "empty", "--history", "i0")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == f"error: {tmp_path / 'empty'}: not a model folder: config.json is missing; name a saved model\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_an_interruption_is_one_line_and_130_and_the_same_command_goes_on(
    cli: Cli, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    # A checkpoint after every step makes the epochs long enough to be interrupted anywhere.
    flags = [*TINY_FLAGS, "--max-epochs", N_EPOCHS, "--patience", N_EPOCHS, "--batch-size", 4]
    flags += ["--checkpoint-seconds", 1e-9]
    process = spawn("train", tiny_dataset.path, run, *flags)
    deadline = time.monotonic() + 60
    while not ((run / METRICS).exists() and (run / METRICS).read_text(encoding="utf-8").count("\n") >= 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    after_epochs = [line for line in err.splitlines() if not line.startswith(("epoch", "[", " "))]
    assert after_epochs == ["interrupted; what was committed stays, and the same command goes on or starts again"]
    lines = (run / METRICS).read_text(encoding="utf-8").splitlines()
    assert 2 <= len(lines) < N_EPOCHS
    assert (run / LAST).exists()
    assert not (run / "model").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    result = cli("train", tiny_dataset.path, run, *flags)
    assert result.code == 0, result.err
    assert (run / METRICS).read_text(encoding="utf-8").splitlines()[: len(lines)] == lines
    assert f"epoch {len(lines)} " not in result.err
