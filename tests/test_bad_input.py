"""Bad input of every kind: one line that says what, where and how to mend it; exit code 2; nothing half-written left.

A case spoils a copy of sound inputs and gives the command to run. Where there is a choice to skip what is bad, the
command with that choice ends well, and the dataset's manifest counts what was left out.
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import io
import json
import shutil
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from iisan.data.checksum import sha256_of_file
from iisan.data.dataset import Dataset
from iisan.jobs.train import TrainOutcome
from iisan.states.store import HiddenStateStore
from tests.cli.conftest import Cli, run_here
from tests.conftest import TINY, TinyModels

TRAIN_FLAGS = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", value)]
# A free port on which nobody listens: a connection is refused at once, as without a network.
NOBODY = "http://127.0.0.1:9"
# With one second to wait for an answer, which are ten else; the rest is for a loaded machine.
SECONDS_FOR_A_HUB = 8
MEGABYTES = 1 << 20

Words = list[object]


@dataclass(frozen=True)
class Bench:
    """A folder to spoil things in.

    Attributes:
        folder: Empty at the start.
        tables: ``items.csv``, ``interactions.csv`` and pictures, not to be written to; so are the next three.
        models: Encoders.
        encoded: A dataset with its states.
        trained: The run folder of a model trained on it.
    """

    folder: Path
    tables: Path
    models: TinyModels
    encoded: Path
    trained: Path

    def shop(self) -> Path:
        """Our own copy of the tables: three items with a picture each, two users."""
        folder = self.folder / "shop"
        (folder / "pictures").mkdir(parents=True)
        for number, colour in enumerate(["red", "green", "blue"]):
            Image.new("RGB", (20, 30), colour).save(folder / "pictures" / f"{number}.png")
        (folder / "items.csv").write_text(
            "item_id,title,image\na,red,pictures/0.png\nb,green,pictures/1.png\nc,blue,pictures/2.png\n"
        )
        log = "".join(f"{user},{item},{time}\n" for user in "xy" for time, item in enumerate("abcab"))
        (folder / "log.csv").write_text(f"user_id,item_id,timestamp\n{log}")
        return folder

    def importing(self, items: str = "items.csv", log: str = "log.csv", *more: object) -> Words:
        """The command that imports the copy."""
        shop = self.folder / "shop"
        tables: Words = ["--items", shop / items, "--interactions", shop / log]
        return ["import", "delimited", self.folder / "ds", *tables, "--image-column", "image", *more]

    def dataset(self) -> Path:
        """Our own copy of the encoded dataset."""
        return Path(shutil.copytree(self.encoded, self.folder / "ds"))

    def run(self) -> Path:
        """Our own copy of the run."""
        return Path(shutil.copytree(self.trained, self.folder / "run"))

    def encoding(self, dataset: Path, *more: object) -> Words:
        encoders = ["--text-model", self.models.text, "--image-model", self.models.image]
        return ["encode", dataset, *encoders, "--device", "cpu", *more]

    def training(self, dataset: Path, *more: object) -> Words:
        return ["train", dataset, self.folder / "new run", *TRAIN_FLAGS, *more]


Build = Callable[[Bench], Words]


@dataclass(frozen=True)
class Case:
    """Something bad.

    Attributes:
        name: What.
        build: Makes it and gives the command.
        says: Parts of the line, in order.
        goes_on: Folder of what was committed before the fault was met; it may stay, and the next run goes on from it.
    """

    name: str
    build: Build
    says: tuple[str, ...]
    goes_on: str = ""


@pytest.fixture
def bench(
    tmp_path: Path,
    tiny_tables: Path,
    tiny_models: TinyModels,
    tiny_dataset: Dataset,
    trained: TrainOutcome,
) -> Bench:
    return Bench(tmp_path, tiny_tables, tiny_models, tiny_dataset.path, trained.folder.parent)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *words: run_here(monkeypatch, capsys, words)


def everything(folder: Path) -> dict[str, bytes | None]:
    """Each file with its bytes, each folder; but for locks, which are empty files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.endswith(".lock")
    }


def spoil_picture(content: Callable[[Path], Any], *more: object) -> Build:
    """A shop whose second picture is made by a function that is given its path."""

    def build(bench: Bench) -> Words:
        path = bench.shop() / "pictures" / "1.png"
        path.unlink()
        content(path)
        return bench.importing("items.csv", "log.csv", *more)

    return build


def spoil_reference(reference: str, *more: object) -> Build:
    """A shop whose second item names another picture."""

    def build(bench: Bench) -> Words:
        path = bench.shop() / "items.csv"
        path.write_text(path.read_text().replace("pictures/1.png", reference))
        (bench.folder / "outside.png").write_bytes((bench.folder / "shop" / "pictures" / "0.png").read_bytes())
        (bench.folder / "shop" / "link.png").symlink_to(bench.folder / "outside.png")
        return bench.importing("items.csv", "log.csv", *more)

    return build


def table(name: str, content: bytes | str, *more: object) -> Build:
    """A shop with a table of a name and content of its own; the name says which of the two it replaces."""

    def build(bench: Bench) -> Words:
        path = bench.shop() / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        pair = ("items.csv", name) if name.startswith("log") else (name, "log.csv")
        return bench.importing(*pair, *more)

    return build


def truncated_jpeg(path: Path) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def bomb(path: Path) -> None:
    Image.new("1", (10_000, 10_001)).save(path, "PNG")


def larger_bomb(path: Path) -> None:
    """A header alone, which claims forty thousand megapixels."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 200_000, 200_000, 1, 0, 0, 0, 0)), (b"IDAT", b"x"), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def parquet(**columns: list[Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


LOG_HEAD = "user_id,item_id,timestamp\n"
LONG = "x" * (20 * MEGABYTES)
LINES = ("x" * 1023 + "\n") * (20 << 10)

IMPORTS = [
    Case("truncated JPEG", spoil_picture(truncated_jpeg, "--check-media", "full"), ("item 'b'", "damaged", "replace")),
    Case("bomb", spoil_picture(bomb), ("item 'b'", "100,010,000 pixels", "smaller")),
    Case("larger bomb", spoil_picture(larger_bomb), ("item 'b'", "pixels", "smaller")),
    Case("empty picture", spoil_picture(lambda path: path.write_bytes(b"")), ("item 'b'", "empty", "replace")),
    Case("picture that is text", spoil_picture(lambda path: path.write_text("<svg/>")), ("item 'b'", "no picture")),
    Case("wrong header", spoil_picture(lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\nrubbish")), ("item 'b'",)),
    Case("folder instead of a picture", spoil_picture(Path.mkdir), ("item 'b'", "is not a file")),
    Case("no such picture", spoil_reference("no.png"), ("item 'b'", "no file 'no.png'", "add it")),
    Case("path with ..", spoil_reference("../outside.png"), ("item 'b'", "without '..'")),
    Case("absolute path", spoil_reference("/etc/hostname"), ("item 'b'", "relative")),
    Case("link that leads out", spoil_reference("link.png"), ("item 'b'", "symbolic link", "copy the file in")),
    Case("URL", spoil_reference("https://example.com/a.png"), ("item 'b'", "nothing is fetched", "download")),
    Case("not UTF-8", table("items.csv", b"item_id,title,image\na,caf\xe9,\n"), ("items.csv, line 2", "encoding")),
    Case("missing column", table("items.csv", "id,title,image\na,x,\n"), ("items.csv", "no column 'item_id'", "image")),
    Case("two columns of a name", table("items.csv", "item_id,title,title,image\na,x,y,\n"), ("line 1", "'title'")),
    Case("header alone", table("items.csv", "item_id,title,image\n"), ("items.csv", "no rows")),
    Case("empty table", table("items.csv", ""), ("items.csv", "empty")),
    Case("blanks alone", table("items.csv", "\n\n\n"), ("items.csv",)),
    Case("open quote", table("items.csv", 'item_id,title,image\na,"x,\n'), ("items.csv, after line 1", "quote")),
    Case("fields missing", table("items.csv", "item_id,title,image\na,x\n"), ("line 2", "2 fields instead of 3")),
    Case("item twice", table("items.csv", "item_id,title,image\na,x,\na,y,\n"), ("line 3", "'a' is there already")),
    Case("blank item id", table("items.csv", "item_id,title,image\n ,x,\n"), ("line 2", "blank")),
    Case(
        "line of 40 MB",
        table("items.csv", f"item_id,title,image\na,{LONG}{LONG},\n"),
        ("items.csv, line 2", "limit of 16,777,216 bytes", "shorten it"),
    ),
    Case(
        "field of 20 MB over several lines",
        table("items.csv", f'item_id,title,image\na,"{LINES}{LINES}",\n'),
        ("items.csv, after line 1", "limit (16777216)", "shorten it"),
    ),
    Case(
        "line of 40 MB, packed",
        table("items.csv.gz", gzip.compress(f"item_id,title,image\na,{LONG}{LONG},\n".encode(), 1)),
        ("items.csv.gz, line 2", "limit of 16,777,216 bytes", "shorten it"),
    ),
    Case(
        "line of 20 MB of JSON",
        table("items.jsonl", f'{{"item_id": "a", "title": "{LONG}"}}\n'),
        ("items.jsonl, line 1", "limit of 16,777,216 bytes", "shorten it"),
    ),
    Case(
        "text of 20 MB in Parquet",
        table("items.parquet", parquet(item_id=["a"], title=[LONG], image=[""])),
        ("items.parquet, column 'title'", "limit of 16,777,216 bytes", "shorten it"),
    ),
    Case(
        "folder instead of a table",
        lambda bench: bench.importing("pictures") if bench.shop() else [],
        ("pictures", "a folder", "name a table"),
    ),
    Case("no such table", lambda bench: bench.importing("no.csv") if bench.shop() else [], ("no.csv", "not exist")),
    Case("unknown suffix", table("items.xls", "x"), ("items.xls", "unknown suffix '.xls'", ".parquet")),
    Case(
        "gzip cut in the middle",
        table(
            "items.csv.gz",
            gzip.compress(b"item_id,title,image\n" + b"".join(b"%d,%d,\n" % (k, k**9) for k in range(999)))[:3000],
        ),
        ("items.csv.gz", "cannot be read", "copy it again"),
    ),
    Case("not gzip", table("items.csv.gz", "item_id,title,image\na,x,\n"), ("items.csv.gz",)),
    Case("Parquet cut", table("items.parquet", parquet(item_id=["a"], title=["x"])[:-9]), ("items.parquet",)),
    Case("empty Parquet", table("items.parquet", b""), ("items.parquet",)),
    Case(
        "Parquet with ids that are lists",
        table("items.parquet", parquet(item_id=[["a"]], title=["x"], image=[""])),
        ("items.parquet", "neither text nor integers"),
    ),
    Case("broken JSON", table("items.jsonl", '{"item_id": "a"}\n{"item_id": \n'), ("items.jsonl, line 2", "JSON")),
    Case(
        "JSON array", table("items.jsonl", '[{"item_id": "a"}]\n'), ("items.jsonl, line 1", "one object on each line")
    ),
    Case("deep JSON", table("items.jsonl", '{"item_id": ' + "[" * 100_000 + "\n"), ("items.jsonl, line 1",)),
    Case("unknown item", table("log.csv", f"{LOG_HEAD}x,ghost,1\n"), ("log.csv", "'ghost'", "--unknown-items drop")),
    Case("text as time", table("log.csv", f"{LOG_HEAD}x,a,1\nx,b,soon\n"), ("log.csv, line 3", "'soon'")),
    Case("no time", table("log.csv", f"{LOG_HEAD}x,a,\n"), ("log.csv, line 2", "timestamp")),
    Case("time NaN", table("log.csv", f"{LOG_HEAD}x,a,nan\n"), ("log.csv, line 2", "not finite")),
    Case("time infinite", table("log.csv", f"{LOG_HEAD}x,a,1\nx,a,-inf\n"), ("log.csv, line 3", "not finite")),
    Case("blank user", table("log.csv", f"{LOG_HEAD} ,a,1\n"), ("log.csv, line 2", "user id")),
    Case("log header alone", table("log.csv", LOG_HEAD), ("log.csv", "no rows")),
    Case("unknown encoding", table("items.csv", "x", "--encoding", "klingon"), ("'klingon'", "latin-1")),
    Case("unknown choice", table("items.csv", "x", "--on-bad-media", "burn"), ("--on-bad-media", "'skip'")),
    Case("long delimiter", table("items.csv", "x", "--items-delimiter", "||"), ("items.csv", "'||'")),
    Case("broken template", table("items.csv", "item_id,title,image\na,x,\n", "--text", "{title"), ("title",)),
]


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip(path: Path, position: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x40
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_dataset(change: Callable[[Path], Any], command: Callable[[Bench, Path], Words]) -> Build:
    """A copy of the dataset, changed; and what is done with it."""

    def build(bench: Bench) -> Words:
        dataset = bench.dataset()
        change(dataset)
        return command(bench, dataset)

    return build


def newer(name: str) -> Callable[[Path], Any]:
    return lambda folder: edit_json(folder / name, version=99)


def with_nan(dataset: Path) -> None:
    """A shard whose checksum fits, with one number that is none."""
    store = dataset / "states" / "text"
    manifest = json.loads((store / "manifest.json").read_text())
    shard = manifest["shards"][0]["states"]
    states = load_file(store / shard["file"])["states"].clone()
    states[1, 0, 3] = float("nan")
    save_file({"states": states}, store / shard["file"])
    shard["sha256"] = sha256_of_file(store / shard["file"])
    (store / "manifest.json").write_text(json.dumps(manifest))


def other_items(dataset: Path) -> None:
    """Another catalogue under the same place: its ids are others."""
    items = pq.read_table(dataset / "items.parquet")
    ids = pa.array([f"other {one}" for one in items.column("item_id").to_pylist()])
    pq.write_table(items.set_column(0, "item_id", ids), dataset / "items.parquet")


def encode(bench: Bench, dataset: Path) -> Words:
    return bench.encoding(dataset)


def train(bench: Bench, dataset: Path) -> Words:
    return bench.training(dataset)


def evaluate(bench: Bench, dataset: Path) -> Words:
    return ["evaluate", bench.trained, dataset]


def recommend(bench: Bench, dataset: Path) -> Words:
    return ["recommend", bench.trained, "--dataset", dataset]


def encode_with_encoder(change: Callable[[Path], Any]) -> Build:
    """A copy of the text encoder, changed."""

    def build(bench: Bench) -> Words:
        folder = Path(shutil.copytree(bench.models.text, bench.folder / "encoder"))
        change(folder)
        return bench.encoding(bench.dataset(), "--modality", "text", "--text-model", folder, "--states", "new")

    return build


def pickled_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated_picture_inside(dataset: Path) -> None:
    shutil.rmtree(dataset / "states")
    cut(next(path for path in sorted((dataset / "media").rglob("*.png"))))


def lost_picture(dataset: Path) -> None:
    shutil.rmtree(dataset / "states")
    next(path for path in sorted((dataset / "media").rglob("*.png"))).unlink()


def stray_reference(dataset: Path) -> None:
    shutil.rmtree(dataset / "states")
    items = pq.read_table(dataset / "items.parquet")
    column = items.column_names.index("image")
    paths = ["../../etc/hostname", *items.column("image").to_pylist()[1:]]
    pq.write_table(items.set_column(column, "image", pa.array(paths)), dataset / "items.parquet")


def spoil_model(change: Callable[[Path], Any], *command: object) -> Build:
    """A copy of the model folder, changed; MODEL and DATASET stand for themselves in the command."""

    def build(bench: Bench) -> Words:
        run = bench.run()
        change(run / "model")
        known = {"MODEL": run / "model", "DATASET": bench.encoded}
        return [known.get(str(word), word) for word in command]

    return build


EVALUATE, RECOMMEND = ("evaluate", "MODEL", "DATASET"), ("recommend", "MODEL", "--history", "i0 i1")


def spoil_run(change: Callable[[Path], Any], *flags: object) -> Build:
    """A copy of the run, changed and then called for again."""

    def build(bench: Bench) -> Words:
        run = bench.run()
        change(run)
        return ["train", bench.encoded, run, *TRAIN_FLAGS, *flags]

    return build


def of_another_model(run: Path) -> None:
    save_file({"model.x": torch.zeros(1)}, run / "last.safetensors", metadata={"facts": '{"format_version": 1}'})


def histories(name: str, content: bytes | str) -> Build:
    def build(bench: Bench) -> Words:
        path = bench.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ["recommend", bench.trained, "--file", path]

    return build


def output(kind: str, command: Callable[[Bench, Path], Words]) -> Build:
    """Where the output is to go there is a file or a folder already, or a file on the way there."""

    def build(bench: Bench) -> Words:
        bench.shop()
        place = bench.folder / "place"
        if kind == "folder":
            place.mkdir()
            (place / "thesis.txt").write_text("years of work")
        else:
            place.write_text("years of work")
        return command(bench, place / "below" if kind == "below a file" else place)

    return build


def import_to(bench: Bench, place: Path) -> Words:
    words = bench.importing()
    return [place if word == bench.folder / "ds" else word for word in words]


def train_to(bench: Bench, place: Path) -> Words:
    return ["train", bench.encoded, place, *TRAIN_FLAGS]


def encode_to(bench: Bench, place: Path) -> Words:
    return bench.encoding(bench.encoded, "--modality", "text", "--states", place)


def ranks_to(bench: Bench, place: Path) -> Words:
    return ["evaluate", bench.trained, bench.encoded, "--ranks", place]


def lists_to(bench: Bench, place: Path) -> Words:
    return ["recommend", bench.trained, "--history", "i0", "--format", "json", "--output", place]


def config(content: bytes | str) -> Build:
    def build(bench: Bench) -> Words:
        path = bench.folder / "options.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return bench.training(bench.encoded, "--config", path)

    return build


def new_items(content: str, *more: object) -> Build:
    def build(bench: Bench) -> Words:
        run = bench.run()
        (bench.folder / "new.csv").write_text(content)
        models = bench.models
        encoders: Words = list(more) or ["--encoder", f"text={models.text}", "--encoder", f"image={models.image}"]
        return ["add-items", run, bench.folder / "new.csv", *encoders, "--device", "cpu"]

    return build


def states_file(content: Callable[[Path], Any], *more: object) -> Build:
    def build(bench: Bench) -> Words:
        path = bench.folder / "states.npy"
        content(path)
        ids = bench.folder / "ids.txt"
        ids.write_text("i0\ni1\n")
        where: Words = ["--states", path, "--ids", ids, "--encoder-name", "mine", "--output", bench.folder / "stores"]
        return ["states", "import", bench.encoded, "text", *where, *more]

    return build


DATASETS = [
    Case("no dataset", lambda bench: bench.training(bench.folder), ("no dataset.json", "iisan import")),
    Case("newer dataset", spoil_dataset(newer("dataset.json"), train), ("dataset.json", "version 99", "update")),
    Case("newer dataset, encoded", spoil_dataset(newer("dataset.json"), encode), ("dataset.json", "version 99")),
    Case("manifest cut", spoil_dataset(lambda ds: cut(ds / "dataset.json"), train), ("dataset.json", "import")),
    Case("manifest of nothing", spoil_dataset(lambda ds: (ds / "dataset.json").write_text("[]"), train), ("format",)),
    Case("table lost", spoil_dataset(lambda ds: (ds / "users.parquet").unlink(), evaluate), ("lacks users.parquet",)),
    Case("log cut", spoil_dataset(lambda ds: cut(ds / "interactions.parquet"), train), ("interactions.parquet",)),
    Case("items cut", spoil_dataset(lambda ds: cut(ds / "items.parquet"), train), ("items.parquet", "import")),
    Case("newer store", spoil_dataset(newer("states/text/manifest.json"), train), ("manifest.json", "version 99")),
    Case("store lost", spoil_dataset(lambda ds: shutil.rmtree(ds / "states"), train), ("not encoded", "iisan encode")),
    Case(
        "shard lost", spoil_dataset(lambda ds: (ds / "states/text/shard-00000.safetensors").unlink(), train), ("shard",)
    ),
    Case("shard cut", spoil_dataset(lambda ds: cut(ds / "states/text/shard-00000.safetensors"), train), ("shard",)),
    Case("NaN in a shard", spoil_dataset(with_nan, train), ("states/text", "not finite")),
    Case("states of other items", spoil_dataset(other_items, train), ("states", "iisan encode")),
    Case("model of other items", spoil_dataset(other_items, evaluate), ("does not know 24 of the 24 items",)),
    Case("model of other items, asked", spoil_dataset(other_items, recommend), ("not in the model's catalogue",)),
    Case("too few interactions", lambda bench: bench.training(bench.encoded, "--min-interactions", "50"), ("no user",)),
    Case(
        "picture cut",
        spoil_dataset(truncated_picture_inside, encode),
        (".png", "cannot be decoded", "replace"),
        "ds/states",
    ),
    Case(
        "picture lost", spoil_dataset(lost_picture, encode), ("no file", ".png", "import the data again"), "ds/states"
    ),
    Case(
        "picture outside",
        spoil_dataset(stray_reference, encode),
        ("'../../etc/hostname'", "import the data again"),
        "ds/states",
    ),
]

ENCODERS = [
    Case("no such folder", lambda bench: bench.encoding(bench.encoded, "--text-model", "./no"), ("./no", "not exist")),
    Case("pickled weights", encode_with_encoder(pickled_only), ("pickled weights", "never read", "save_pretrained")),
    Case("no config", encode_with_encoder(lambda folder: (folder / "config.json").unlink()), ("config.json",)),
    Case("config cut", encode_with_encoder(lambda folder: cut(folder / "config.json")), ("config.json",)),
    Case("weights cut", encode_with_encoder(lambda folder: cut(folder / "model.safetensors")), ("weights",)),
    Case("tokenizer cut", encode_with_encoder(lambda folder: cut(folder / "tokenizer.json")), ("tokenizer",)),
    Case(
        "image model for text",
        lambda bench: bench.encoding(bench.encoded, "--text-model", bench.models.image, "--states", "s"),
        ("does not read text",),
    ),
    Case("tap beyond", lambda bench: bench.encoding(bench.encoded, "--taps", "99", "--states", "s"), ("99",)),
    Case("store of other taps", lambda bench: bench.encoding(bench.encoded, "--taps", "0,1"), ("taps", "in the store")),
    Case("no device", lambda bench: bench.encoding(bench.encoded, "--device", "abacus"), ("abacus", "cpu")),
    Case("states that are text", states_file(lambda path: path.write_text("x")), ("states.npy",)),
    Case(
        "states that are pickled",
        states_file(lambda path: np.save(path, np.array([{}]), allow_pickle=True)),
        ("states.npy",),
    ),
    Case(
        "states with NaN",
        states_file(lambda path: np.save(path, np.full((2, 1, 4), np.nan)), "--on-missing", "skip"),
        ("finite",),
    ),
]

MODELS = [
    Case("no model", lambda bench: ["recommend", bench.folder, "--history", "i0"], ("config.json is missing",)),
    Case(
        "newer model",
        spoil_model(lambda m: edit_json(m / "config.json", format_version=99), *RECOMMEND),
        ("99", "upgrade"),
    ),
    Case(
        "newer model, evaluated",
        spoil_model(lambda m: edit_json(m / "config.json", format_version=99), *EVALUATE),
        ("99",),
    ),
    Case("config cut", spoil_model(lambda m: cut(m / "config.json"), *RECOMMEND), ("config.json",)),
    Case("weights cut", spoil_model(lambda m: cut(m / "model.safetensors"), *EVALUATE), ("model",)),
    Case("weights lost", spoil_model(lambda m: (m / "model.safetensors").unlink(), *RECOMMEND), ("model",)),
    Case("table cut", spoil_model(lambda m: cut(m / "items.parquet"), *RECOMMEND), ("item table",)),
    Case("embeddings cut", spoil_model(lambda m: cut(m / "item_embeddings.safetensors"), *RECOMMEND), ("item table",)),
    Case("unknown item", lambda bench: ["recommend", bench.trained, "--history", "ghost"], ("'ghost'",)),
    Case("histories not UTF-8", histories("h.txt", b"x\tcaf\xe9\n"), ("h.txt",)),
    Case("histories without a tab", histories("h.txt", "x i0\n"), ("h.txt, line 1", "no tab")),
    Case("histories of broken JSON", histories("h.jsonl", '{"user_id": "x"\n'), ("h.jsonl, line 1", "history")),
    Case("histories of no Parquet", histories("h.parquet", "x"), ("h.parquet",)),
    Case("histories of other columns", histories("h.parquet", parquet(a=[1])), ("h.parquet",)),
    Case("empty histories", histories("h.txt", ""), ("no history",)),
]

RUNS = [
    Case("other options", spoil_run(lambda run: None, "--seed", "9"), ("another", "seed", "--overwrite")),
    Case("checkpoint cut", spoil_run(lambda run: cut(run / "last.safetensors")), ("last.safetensors", "--overwrite")),
    Case("checkpoint of another model", spoil_run(of_another_model), ("last.safetensors", "does not fit")),
    Case("best checkpoint lost", spoil_run(lambda run: (run / "best.safetensors").unlink()), ("best.safetensors",)),
    Case("facts cut", spoil_run(lambda run: cut(run / "run.json")), ("something else than a run",)),
    Case(
        "another dataset",
        spoil_run(
            lambda run: edit_json(run / "run.json", dataset={"sha256": {}}),
        ),
        ("dataset",),
    ),
]

OUTPUTS = [
    Case(f"{verb} into {kind}", output(kind, command), (says,))
    for verb, command, file_says, folder_says in [
        ("import", import_to, "not a folder", "not a dataset"),
        ("train", train_to, "something else than a run", "something else than a run"),
        ("encode", encode_to, "place", ""),
        ("ranks", ranks_to, "", "place"),
        ("lists", lists_to, "", "place"),
    ]
    for kind, says in [("a file", file_says), ("folder", folder_says), ("below a file", "cannot be written")]
    if says
]

OPTIONS = [
    Case("YAML cut", config("seed: ["), ("options.yaml", "mend the file")),
    Case("YAML not UTF-8", config(b"seed: \xe9"), ("options.yaml", "mend the file")),
    Case("YAML with NUL", config(b"seed: 1\x00"), ("options.yaml", "mend the file")),
    Case("YAML that runs code", config("seed: !!python/object/apply:os.system ['true']"), ("options.yaml",)),
    Case("YAML list", config("- seed"), ("options.yaml", "one `name: value` a line")),
    Case("YAML of another option", config("sede: 1"), ("'sede'", "--help")),
    Case("YAML of another type", config("seed: {a: 1}"), ("--seed", "integer")),
    Case("unknown choice", lambda bench: bench.training(bench.encoded, "--loss", "magic"), ("--loss", "'in_batch'")),
    Case("unknown option", lambda bench: bench.training(bench.encoded, "--lose", "x"), ("--lose", "--help")),
    Case(
        "number out of range",
        lambda bench: bench.training(bench.encoded, "--dropout", "2"),
        ("--dropout", "less than 1"),
    ),
]

ADDITIONS = [
    Case("no items table", lambda bench: ["add-items", bench.run(), bench.folder / "no.csv"], ("no.csv",)),
    Case("no model", lambda bench: ["add-items", bench.folder, bench.tables / "items.csv"], ("no model folder",)),
    Case("new item twice", new_items("item_id,title,image\nn,x,\nn,y,\n"), ("line 3", "'n'")),
    Case("new item without content", new_items("item_id,title,image\nn,,\n"), ("'n'",)),
    Case("known item changed", new_items("item_id,title,image\ni0,other,\n"), ("'i0'",)),
    Case("new item, no picture", new_items("item_id,title,image\nn,x,no.png\n"), ("'n'", "no.png")),
    Case("new item, other encoder", new_items("item_id,title,image\nn,x,\n", "--encoder", "text=./no"), ("./no",)),
]

ALL = [
    (group, case)
    for group, cases in [
        ("import", IMPORTS),
        ("dataset", DATASETS),
        ("encoder", ENCODERS),
        ("model", MODELS),
        ("run", RUNS),
        ("output", OUTPUTS),
        ("options", OPTIONS),
        ("add-items", ADDITIONS),
    ]
    for case in cases
]


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{group}: {case.name}") for group, case in ALL])
def test_one_line(cli: Cli, bench: Bench, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.chdir(bench.folder)
    words = case.build(bench)
    before = everything(bench.folder)
    result = cli(*words)
    assert result.code == 2, result.err
    assert result.out == ""
    lines = [line for line in result.error_lines if line.startswith("error: ")]
    assert len(lines) == 1, result.err
    assert result.error_lines[-1] == lines[0]
    assert "Traceback" not in result.err
    rest = lines[0]
    for part in case.says:
        assert part in rest, result.err
        rest = rest.partition(part)[2]
    assert "; " in lines[0], "how to mend it"
    after = everything(bench.folder)
    if case.goes_on:
        after = {path: content for path, content in after.items() if not path.startswith(case.goes_on)}
    assert after == before


BAD_PICTURES: list[tuple[str, Build, str]] = [
    ("truncated", spoil_picture(truncated_jpeg, "--check-media", "full"), "image:unreadable"),
    ("bomb", spoil_picture(bomb), "image:too_large"),
    ("larger bomb", spoil_picture(larger_bomb), "image:too_large"),
    ("empty", spoil_picture(lambda path: path.write_bytes(b"")), "image:unreadable"),
    ("missing", spoil_reference("no.png"), "image:missing_file"),
    ("outside", spoil_reference("../outside.png"), "image:unsafe_path"),
    ("link", spoil_reference("link.png"), "image:unsafe_path"),
    ("URL", spoil_reference("https://example.com/a.png"), "image:url"),
]


@pytest.mark.parametrize(("build", "reason"), [pytest.param(build, why, id=name) for name, build, why in BAD_PICTURES])
def test_bad_pictures_are_skipped_and_counted(cli: Cli, bench: Bench, build: Build, reason: str) -> None:
    result = cli(*build(bench), "--on-bad-media", "skip")
    assert result.code == 0, result.err
    dataset = Dataset.open(bench.folder / "ds")
    dataset.verify()
    assert dataset.manifest.source.dropped == {reason: 1}
    assert [path is not None for path in dataset.image_paths("image")] == [True, False, True]


def test_unknown_items_are_dropped_and_counted(cli: Cli, bench: Bench) -> None:
    log = bench.shop() / "log.csv"
    log.write_text(log.read_text() + "x,ghost,1\nz,ghost,2\n")
    result = cli(*bench.importing(), "--unknown-items", "drop")
    assert result.code == 0, result.err
    dataset = Dataset.open(bench.folder / "ds")
    assert dataset.manifest.source.dropped == {"unknown_item": 2}
    assert (len(dataset.interactions), dataset.user_ids) == (10, ["x", "y"])


def test_new_items_without_content_are_skipped_and_counted(cli: Cli, bench: Bench) -> None:
    result = cli(*new_items("item_id,title,image\nn,,\nm,red toy,\n")(bench), "--on-empty", "skip")
    assert result.code == 0, result.err
    counts = dict(line.strip("│┃| ").split("│") for line in result.out.splitlines() if line.count("│") == 3)
    assert {name.strip(): number.strip() for name, number in counts.items()} | {
        "added": "1",
        "without content, left out": "1",
        "items of the model now": "25",
    } == {name.strip(): number.strip() for name, number in counts.items()}


def animation(path: Path) -> None:
    frames = [Image.new("P", (20, 30), colour) for colour in (1, 2, 3)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)).save(path, "PNG")


UNUSUAL_PICTURES: dict[str, Callable[[Path], Any]] = {
    "animation": animation,
    "animated WebP": lambda path: Image.new("RGB", (20, 30)).save(
        path, "WEBP", save_all=True, append_images=[Image.new("RGB", (20, 30), "red")]
    ),
    "CMYK": lambda path: Image.new("CMYK", (20, 30), (9, 99, 199, 29)).save(path, "JPEG"),
    "16 bits": sixteen_bits,
    "one bit": lambda path: Image.new("1", (20, 30)).save(path, "PNG"),
    "transparent": lambda path: Image.new("RGBA", (20, 30), (1, 2, 3, 4)).save(path, "PNG"),
    "grey with alpha": lambda path: Image.new("LA", (20, 30), (1, 2)).save(path, "PNG"),
    "one pixel": lambda path: Image.new("RGB", (1, 1)).save(path, "PNG"),
    "long": lambda path: Image.new("RGB", (3000, 2)).save(path, "PNG"),
}


@pytest.mark.parametrize("name", UNUSUAL_PICTURES)
def test_unusual_pictures_are_let_in_and_encoded(cli: Cli, bench: Bench, name: str) -> None:
    assert cli(*spoil_picture(UNUSUAL_PICTURES[name], "--check-media", "full")(bench)).code == 0
    result = cli(*bench.encoding(bench.folder / "ds", "--modality", "image"))
    assert result.code == 0, result.err
    assert len(HiddenStateStore.open(bench.folder / "ds" / "states" / "image")) == 3


def test_unusual_tables_are_let_in_and_encoded(cli: Cli, bench: Bench) -> None:
    """An empty text, one of 10 MB, one with a NUL, writing from the right; a user who came once; any time."""
    shop = bench.shop()
    long = "word " * (2 * MEGABYTES)
    items = f'item_id,title,image\na,,\nb,{long},\nc,x\0y,\nd,"\u202e\U0001f600 ""q"",\n",\n'
    (shop / "items.csv").write_text(items, encoding="utf-8")
    (shop / "log.csv").write_text(f"{LOG_HEAD}once,a,-5\nx,a,-1\nx,b,-0.5\nx,c,1e300\n")
    assert cli(*bench.importing()).code == 0
    dataset = Dataset.open(bench.folder / "ds")
    assert dataset.texts("text")[:2] == [None, long]
    assert dataset.texts("text")[2] == "x\0y"
    assert (dataset.n_users, dataset.manifest.counts.present["text"]) == (2, 3)
    assert cli(*bench.encoding(bench.folder / "ds", "--modality", "text")).code == 0
    assert len(HiddenStateStore.open(bench.folder / "ds" / "states" / "text")) == 3
    few = cli(*bench.training(bench.folder / "ds", "--modalities", "text"))
    assert (few.code, few.error_lines[-1].count("no user has 5 interactions")) == (2, 1)


@pytest.mark.parametrize("name", ["shard-00000.safetensors", "shard-00000.parquet"])
@pytest.mark.parametrize("position", [-1, -100])
def test_a_flipped_byte_of_a_store_is_found_when_asked_for(cli: Cli, bench: Bench, name: str, position: int) -> None:
    store = bench.dataset() / "states" / "text"
    assert cli("states", "verify", store).code == 0
    flip(store / name, position)
    result = cli("states", "verify", store)
    assert result.code == 1
    assert name in result.out
    assert "SHA-256" in result.out


class NotFound(http.server.BaseHTTPRequestHandler):
    """A hub that knows no model."""

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def hub_without_models() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def hub_that_is_silent() -> Iterator[str]:
    """Takes connections and never answers, as a firewall that drops packets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


HUBS: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
    "no such model": hub_without_models,
    "no network": lambda: contextlib.nullcontext(NOBODY),
    "silence": hub_that_is_silent,
}


@pytest.mark.parametrize("hub", HUBS)
@pytest.mark.parametrize("verb", ["encode", "recommend"])
def test_a_hub_id_that_cannot_be_had(
    cli: Cli, bench: Bench, monkeypatch: pytest.MonkeyPatch, hub: str, verb: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("iisan.encoders.hub_snapshot.HUB_SECONDS", 1.0)
    with HUBS[hub]() as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        started = time.monotonic()
        if verb == "encode":
            result = cli(*bench.encoding(bench.encoded, "--text-model", "nobody/nothing"))
        else:
            result = cli("recommend", "nobody/nothing", "--history", "i0")
        seconds = time.monotonic() - started
    assert (result.code, len(result.error_lines)) == (2, 1), result.err
    assert "nobody/nothing" in result.err
    assert ("check the spelling" if hub == "no such model" else "check the path or the network") in result.err
    assert seconds < SECONDS_FOR_A_HUB
