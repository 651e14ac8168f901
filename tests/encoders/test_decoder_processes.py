"""Pictures that are decoded in processes of their own: the same bits, the same errors, and an end in any case."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from iisan.encoders import EncoderConfig, ImageEncoder, load_encoder
from iisan.encoders.decoder_processes import DecoderProcesses, decoder_count, usable_cores
from iisan.encoders.model_files import locate_model
from iisan.encoders.picture_pixels import PicturePixels
from iisan.errors import UserError
from tiny_encoders import pictures

# Long enough to load the libraries on a busy machine.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def encoder(model_folder: Callable[[str], Path]) -> Iterator[ImageEncoder]:
    """With two processes, which the tests share; one that ends them has new ones started."""
    config = EncoderConfig(
        model=str(model_folder("vit")), kind="image", pooling="mean", batch_size=2, decoders=2, device="cpu"
    )
    made = load_encoder(config)
    assert isinstance(made, ImageEncoder)
    yield made
    made._decoding.abandon()


def processes(encoder: ImageEncoder) -> DecoderProcesses:
    found = encoder._decoding._processes
    assert found is not None
    return found


def alone(encoder: ImageEncoder) -> PicturePixels:
    """What decodes in this process."""
    return encoder._decoding.here


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while any(runs(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def jpegs(tmp_path: Path) -> list[Path]:
    """Large enough that they are decoded smaller; one is turned by its EXIF orientation."""
    files = []
    for number, path in enumerate(pictures(tmp_path, 5, seed=3)):
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 2 else 1
        files.append(tmp_path / f"{number}.jpg")
        with Image.open(path) as picture:
            picture.convert("RGB").resize((300, 200 + number)).save(files[-1], exif=exif)
    return files


def test_the_same_bits_as_in_this_process(
    encoder: ImageEncoder, picture_files: list[Path], jpegs: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    files = [*picture_files, *jpegs]
    with caplog.at_level(logging.INFO, logger="iisan.encoders.decoder_processes"):
        states = encoder.encode(files)
        again = encoder.encode(files)
    pids = processes(encoder).pids
    assert len(pids) == 2
    assert not set(pids) & {os.getpid()}
    assert caplog.messages.count("2 processes decode the pictures") <= 1  # The second time they run already.
    assert torch.equal(states, again)
    by_batch = [alone(encoder).of(files[start : start + 2]) for start in range(0, len(files), 2)]
    for start, pixels in enumerate(by_batch):
        assert torch.equal(encoder.prepare(files[2 * start : 2 * start + 2])["pixel_values"], pixels)
    with torch.inference_mode():
        expected = torch.cat([encoder.forward_taps({"pixel_values": pixels}) for pixels in by_batch])
    assert torch.equal(states, expected)


def test_a_batch_of_any_size_is_shared_out(encoder: ImageEncoder, picture_files: list[Path]) -> None:
    assert torch.equal(encoder.prepare(picture_files)["pixel_values"], alone(encoder).of(picture_files))
    assert processes(encoder).pids


def test_open_pictures_stay_in_this_process(encoder: ImageEncoder, picture_files: list[Path]) -> None:
    with Image.open(picture_files[1]) as opened:
        mixed = [picture_files[0], opened]
        assert torch.equal(encoder.encode(mixed), encoder.encode(picture_files[:2]))


def damaged(folder: Path, whole: Path) -> Path:
    path = folder / "half.png"
    path.write_bytes(whole.read_bytes()[:200])
    return path


def too_large(folder: Path, _: Path) -> Path:
    path = folder / "bomb.png"
    Image.new("1", (9000, 9000)).save(path)
    return path


def absent(folder: Path, _: Path) -> Path:
    return folder / "absent \udc80 ☃.png"


@pytest.mark.parametrize("bad", [damaged, too_large, absent])
def test_a_bad_picture_is_the_same_error(
    bad: Callable[[Path, Path], Path], encoder: ImageEncoder, picture_files: list[Path], tmp_path: Path
) -> None:
    path = bad(tmp_path, picture_files[0])
    with pytest.raises(UserError) as here:
        alone(encoder).of([path])
    with pytest.raises(UserError) as there:
        encoder.encode([*picture_files, path, *picture_files])
    for name in ("what", "where", "how"):
        assert getattr(there.value, name) == getattr(here.value, name)
    assert encoder.encode(picture_files).shape[0] == len(picture_files)


def test_relative_files_are_found_and_named_as_they_were_given(
    encoder: ImageEncoder, picture_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder.encode(picture_files[:1])
    monkeypatch.chdir(picture_files[0].parent)
    names = [path.name for path in picture_files[:2]]
    assert torch.equal(encoder.encode(names), encoder.encode(picture_files[:2]))
    with pytest.raises(UserError) as error:
        encoder.encode(["nothing.png"])
    assert error.value.where == "nothing.png"


def test_a_killed_process_is_one_clear_error_and_nothing_hangs(
    encoder: ImageEncoder, picture_files: list[Path]
) -> None:
    encoder.encode(picture_files)
    first, second = processes(encoder).pids
    os.kill(first, signal.SIGKILL)
    with pytest.raises(UserError, match=r"ended \(killed by signal 9\).*fewer decoders, or 0"):
        encoder.encode(picture_files)
    assert gone([first, second])
    assert encoder.encode(picture_files).shape[0] == len(picture_files)
    assert not set(processes(encoder).pids) & {first, second}


def test_an_interruption_ends_the_processes_at_once(encoder: ImageEncoder, picture_files: list[Path]) -> None:
    encoder.encode(picture_files)
    pids = processes(encoder).pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # They would never answer.
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(picture_files)
    assert time.monotonic() - started < PATIENCE
    assert gone(pids)
    assert threading.active_count() == 1 or not [one for one in threading.enumerate() if "prefetch" in one.name]


def test_they_end_with_the_encoder(model_folder: Callable[[str], Path], picture_files: list[Path]) -> None:
    options: dict[str, Any] = {"kind": "image", "pooling": "mean", "decoders": 1, "device": "cpu"}
    encoder = load_encoder(EncoderConfig(model=str(model_folder("vit")), **options))
    assert isinstance(encoder, ImageEncoder)
    encoder.encode(picture_files[:1])
    pids = processes(encoder).pids
    assert pids
    del encoder
    assert gone(pids)


def test_what_cannot_be_started_is_said(model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    config = EncoderConfig(model=str(model_folder("vit")), kind="image", device="cpu")
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(UserError, match=r"cannot be started.*fewer decoders, or 0"):
        DecoderProcesses(2, locate_model(config), None).start()


def test_how_many_decode() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert decoder_count(None, cpu) == 0
    assert decoder_count(None, cuda) == min(16, usable_cores())
    assert decoder_count(3, cpu) == decoder_count(3, cuda) == 3
    assert decoder_count(0, cuda) == 0


def test_few_pictures_start_none_that_nobody_asked_for(
    model_folder: Callable[[str], Path], picture_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iisan.encoders.picture_decoding.decoder_count", lambda asked, device: 1)
    monkeypatch.setattr("iisan.encoders.picture_decoding.WORTH_PROCESSES", 12)
    encoder = load_encoder(EncoderConfig(model=str(model_folder("vit")), kind="image", device="cpu"))
    assert isinstance(encoder, ImageEncoder)
    encoder.encode(picture_files)
    assert processes(encoder).pids == []
    encoder.encode(picture_files)
    assert processes(encoder).pids != []
    encoder._decoding.abandon()
