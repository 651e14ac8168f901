"""A kill at any moment loses at most the shard in flight, and the next run goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from iisan.encoders import TextEncoder
from iisan.errors import UserError
from iisan.states import HiddenStateStore, IndexEntry, StoreSpec, StoreWriter, encode_items, verify_store
from tiny_encoders import texts

ENCODE = """
    import sys, time
    import torch
    from iisan.encoders import EncoderConfig, load_encoder
    from iisan.states import encode_items

    torch.set_num_threads(1)
    model, path, pause, *contents = sys.argv[1:]
    config = EncoderConfig(model=model, kind="text", taps="all", pooling="mean", batch_size=4, device="cpu")
    ids = [f"i{k}" for k in range(len(contents))]
    report = encode_items(
        load_encoder(config), ids, contents, path, shard_rows=4, progress=lambda *step: time.sleep(float(pause))
    )
    print(report.encoded, report.reused)
"""


def run_encode(model: Path, path: Path, contents: list[str], pause: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", textwrap.dedent(ENCODE), str(model), str(path), str(pause), *contents]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_sigkill_and_a_second_writer(
    bert_folder: Path, text_encoder: Callable[..., TextEncoder], tmp_path: Path
) -> None:
    contents = texts(24)
    ids = [f"i{k}" for k in range(24)]
    path = tmp_path / "killed"
    encoder = text_encoder(pooling="mean", batch_size=4)
    process = run_encode(bert_folder, path, contents, pause=0.2)
    try:
        deadline = time.monotonic() + 120
        while not (path / "shard-00001.parquet").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(UserError, match="another process is writing"):
            encode_items(encoder, ids, contents, path, shard_rows=4)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert verify_store(path).ok
    survived = len(HiddenStateStore.open(path))
    assert 4 <= survived < 24
    report = encode_items(encoder, ids, contents, path, shard_rows=4)
    assert (report.encoded, report.reused) == (24 - survived, survived)
    encode_items(encoder, ids, contents, tmp_path / "whole", shard_rows=4)
    for name in sorted(file.name for file in path.iterdir()):
        assert (path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


# Dies without any clean-up at the k-th file operation, for every k; each time the next writer goes on.
DIE_EVERYWHERE = """
    import itertools, os, sys
    from pathlib import Path
    import torch
    from iisan.states import HiddenStateStore, IndexEntry, StoreSpec, StoreWriter, verify_store

    torch.set_num_threads(1)
    os.fsync = lambda descriptor: None  # a kill spares what the system has, and hundreds of flushes take long
    root = Path(sys.argv[1])
    constant = torch.ones(1, 3)
    spec = StoreSpec({"model": "m"}, "float16", (0, 1), 3, (0,), constant)

    def write(path):
        with StoreWriter(path, spec) as writer:
            while (row := writer.next_row) < 4:
                states = torch.stack([torch.ones(2, 3), torch.arange(row, row + 2.0)[:, None].expand(2, 3)], dim=1)
                entries = [IndexEntry(f"i{k}", f"hash {k}", k) for k in (row, row + 1)]
                writer.append(states, entries)

    def die_at(step, after):
        counter = itertools.count()
        for owner, name in ((Path, "replace"), (Path, "unlink"), (os, "fsync")):
            def wrapped(*args, original=getattr(owner, name), **kwargs):
                now = next(counter)
                if now == step and not after:
                    os._exit(7)
                result = original(*args, **kwargs)
                if now == step:
                    os._exit(7)
                return result
            setattr(owner, name, wrapped)

    died = 0
    for step in itertools.count():
        for after in (False, True):
            path = root / f"{step}-{after}"
            child = os.fork()
            if child == 0:
                die_at(step, after)
                write(path)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, 7), code
            died += code == 7
            if (path / "manifest.json").exists():
                report = verify_store(path)
                assert report.ok and report.items % 2 == 0, (step, after, report)
            write(path)
            assert verify_store(path).ok
            store = HiddenStateStore.open(path)
            rows = store.rows_of([f"i{k}" for k in range(4)])
            assert store.gather(rows)[:, 0, 0].tolist() == [0, 1, 2, 3], (step, after)
            assert len(list(path.iterdir())) == 7, sorted(path.iterdir())
        if code == 0:
            break
    print(died)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_death_at_every_file_operation(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DIE_EVERYWHERE), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


def test_waiting_for_another_writer(tmp_path: Path) -> None:
    spec = StoreSpec({"model": "m"}, "float32", (0,), 2)
    script = """
        import sys, time
        import torch
        from iisan.states import IndexEntry, StoreSpec, StoreWriter

        with StoreWriter(sys.argv[1], StoreSpec({"model": "m"}, "float32", (0,), 2)) as writer:
            print("locked", flush=True)
            time.sleep(0.5)
            writer.append(torch.zeros(1, 1, 2), [IndexEntry("theirs", "h", 0)])
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "s")]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with StoreWriter(tmp_path / "s", spec, wait=True) as writer:
            writer.append(torch.ones(1, 1, 2), [IndexEntry("ours", "h", writer.next_row)])
    finally:
        process.communicate()
    assert HiddenStateStore.open(tmp_path / "s").item_ids == ["theirs", "ours"]
    assert verify_store(tmp_path / "s").ok


def test_a_failure_leaves_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with StoreWriter(tmp_path, StoreSpec({"model": "m"}, "float32", (0,), 2)) as writer:
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(UserError, match=r"No space left on device.*what was committed is safe"):
            writer.append(torch.zeros(1, 1, 2), [IndexEntry("a", "h", 0)])
        monkeypatch.undo()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "manifest.json"]
        writer.append(torch.zeros(1, 1, 2), [IndexEntry("a", "h", 0)])
    assert verify_store(tmp_path).ok
