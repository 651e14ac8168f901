"""Our safetensors files are what the library reads, and files like any other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from iisan.states.tensor_file import DTYPES, save_tensors

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SHAPES = st.lists(st.integers(0, 4), max_size=3)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), metadata=st.dictionaries(NAMES, NAMES, max_size=2))
def test_the_library_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, metadata: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.safetensors"
    tensors = {}
    for name in data.draw(st.sets(NAMES.filter(lambda one: one != "__metadata__"), max_size=4)):
        shape, dtype = data.draw(SHAPES), data.draw(st.sampled_from(list(DTYPES)))
        tensors[name] = torch.randint(0, 100, shape).to(dtype)
    save_tensors(tensors, path, metadata)
    read = load_file(path)
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    with safe_open(path, framework="pt") as file:
        assert (file.metadata() or {}) == metadata


def test_views_and_parameters(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {"turned": whole.T, "part": whole[1:, ::2], "parameter": torch.nn.Parameter(whole), "same": whole}
    save_tensors(tensors, tmp_path / "t")
    assert all(torch.equal(value, tensors[name]) for name, value in load_file(tmp_path / "t").items())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_others_may_read_what_the_umask_lets_them_read(tmp_path: Path) -> None:
    save_tensors({"a": torch.zeros(1)}, tmp_path / "ours")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
