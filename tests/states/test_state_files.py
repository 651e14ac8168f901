"""Files of states give the numbers that are in them, or say what is wrong with them."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from iisan.errors import UserError
from iisan.states import (
    HiddenStateStore,
    ImportedStates,
    import_states,
    open_states,
    verify_store,
)
from tests.states.pickle_bomb import Bomb, objects

Array = npt.NDArray[Any]


def random_states(n: int, n_taps: int = 2, width: int = 3, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, n_taps, width)).astype(np.float32)


def write_states(path: Path, states: Array, form: str) -> list[str]:
    """Write ``[n, T, D]`` in one of the forms; gives the names of tensors where there are several."""
    tensor = torch.from_numpy(np.ascontiguousarray(states))
    if form == "npy":
        np.save(path.with_suffix(".npy"), states)
    elif form == "npy-fortran":
        np.save(path.with_suffix(".npy"), np.asfortranarray(states))
    elif form == "npy-big-endian":
        np.save(path.with_suffix(".npy"), states.astype(states.dtype.newbyteorder(">")))
    elif form == "safetensors":
        save_file({"x": tensor}, path.with_suffix(".safetensors"))
    else:
        names = [f"layer {k}" for k in range(states.shape[1])]
        save_file({name: tensor[:, k].contiguous() for k, name in enumerate(names)}, path.with_suffix(".safetensors"))
        return names
    return []


@settings(max_examples=40, deadline=None)
@given(
    form=st.sampled_from(["npy", "npy-fortran", "npy-big-endian", "safetensors", "safetensors by tap"]),
    source=st.sampled_from(["float16", "float32", "float64"]),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", None]),
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    shard_rows=st.integers(1, 9),
    data=st.data(),
)
def test_any_files_give_the_numbers_that_are_in_them(
    form: str, source: str, dtype: Any, sizes: list[int], shape: tuple[int, int], shard_rows: int, data: st.DataObject
) -> None:
    n = sum(sizes)
    states = np.random.default_rng(n).standard_normal((n, *shape)).astype(source)
    ids = data.draw(st.permutations([f"i{k}" for k in range(n)]))
    catalogue = data.draw(st.lists(st.sampled_from(ids), unique=True, min_size=2)) if n > 1 else ids
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        start = 0
        for number, size in enumerate(sizes):
            tensors = write_states(folder / "in" / f"{number}", states[start : start + size], form)
            start += size
        report = import_states(
            open_states([folder / "in"], tensors),
            ids,
            folder / "store",
            ImportedStates("clap", dtype=dtype),
            catalogue=catalogue,
            on_unknown="skip",
            shard_rows=shard_rows,
        )
        wanted = {"float64": "float32"}.get(source, source) if dtype is None else dtype
        expected = torch.from_numpy(states).to(getattr(torch, wanted))
        # Numbers of 16 bits coincide now and then; equal states are stored once.
        distinct = {tuple(expected[ids.index(item)].flatten().tolist()) for item in catalogue}
        assert (report.imported, report.unknown, report.missing) == (len(distinct), n - len(catalogue), 0)
        store = HiddenStateStore.open(folder / "store")
        assert store.dtype == expected.dtype
        assert sorted(store.item_ids) == sorted(catalogue)
        rows = [ids.index(item) for item in catalogue]
        assert torch.equal(store.gather(store.rows_of(catalogue)), expected[rows])
        assert verify_store(folder / "store").ok


def test_bfloat16_comes_as_safetensors(tmp_path: Path) -> None:
    states = torch.randn(5, 2, 3).bfloat16()
    save_file({"x": states + 1, "y": states}, tmp_path / "s.safetensors")
    assert torch.equal(open_states([tmp_path / "s.safetensors"], ["y"]).read(np.arange(5)), states)


def test_vectors_are_states_of_one_tap(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", random_states(4)[:, 0])
    states = open_states([tmp_path / "s.npy"])
    assert (states.n_taps, states.width) == (1, 3)
    assert torch.equal(states.read(np.array([1, 3])), torch.from_numpy(random_states(4)[[1, 3], :1]))


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb()))


def cut(path: Path) -> None:
    np.save(path, random_states(9))
    path.write_bytes(path.read_bytes()[:-1])


def huge(path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 768), }"
    header += b" " * (117 - len(header)) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
@pytest.mark.parametrize("write", [objects, pickled, cut, huge, Path.touch, None])
def test_bad_files_are_refused(write: Callable[[Path], None] | None, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "states.npy"
    if write is not None:
        write(path)
        path.rename(tmp_path / f"states{suffix}")
    path = tmp_path / f"states{suffix}"
    with pytest.raises(UserError, match=rf"states\{suffix}: (no such file|no readable \.?{suffix[1:]})"):
        open_states([path])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3, np.float32), r"shape \[3\]"),
        (np.zeros((1, 2, 3, 4), np.float32), r"shape \[1, 2, 3, 4\]"),
        (np.zeros((0, 3), np.float32), "no states are in it"),
        (np.zeros((3, 0, 2), np.float32), "no states are in it"),
        (np.zeros((2, 3), np.int64), "the numbers are int64"),
        (np.zeros((2, 3), np.complex64), "the numbers are complex64"),
        (np.zeros((2, 3), "U3"), "the numbers are <U3"),
        (np.zeros((2, 3), "V2"), r"the numbers are .*bfloat16 as \.safetensors"),
    ],
)
def test_arrays_that_are_no_states(array: Array, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=message):
        open_states([tmp_path / "a.npy"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"5 tensors are in it \(a, b, cube, ints, wide\); name one with --tensor"),
        (["c"], "no tensor 'c'; there are: a, b, cube"),
        (["a", "wide"], r"tensor 'wide': its shape is \[4, 3\]"),
        (["a", "cube"], r"tensor 'cube': its shape is \[4, 1, 2\]"),
        (["a", "ints"], "tensor 'ints': the numbers are I64"),
    ],
)
def test_tensors_that_are_no_taps(names: list[str], message: str, tmp_path: Path) -> None:
    flat = torch.zeros(4, 2)
    tensors = {"a": flat, "b": flat + 1, "wide": torch.zeros(4, 3), "cube": torch.zeros(4, 1, 2), "ints": flat.long()}
    save_file(tensors, tmp_path / "s.safetensors")
    with pytest.raises(UserError, match=message):
        open_states([tmp_path / "s.safetensors"], names)


def test_files_that_do_not_agree(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", random_states(2))
    np.save(tmp_path / "b.npy", random_states(2, width=4))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"b\.npy: it holds 2 taps of width 4, the first file 2 of width 3"):
        open_states([tmp_path])
    with pytest.raises(UserError, match=r"holds no \.npy and no \.safetensors"):
        open_states([tmp_path / "empty"])
    with pytest.raises(UserError, match=r"not '\.pt'"):
        open_states([tmp_path / "a.pt"])
    with pytest.raises(UserError, match="no named tensors"):
        open_states([tmp_path / "a.npy"], ["x"])
