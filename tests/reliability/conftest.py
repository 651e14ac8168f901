from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iisan.data.dataset import Dataset
from iisan.jobs.train import TrainOutcome
from tests.conftest import TinyModels
from tests.reliability.fork_server import ForkServer, with_mount
from tests.reliability.works import Inputs


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    if not hasattr(os, "pidfd_open"):
        pytest.skip(f"{sys.platform} has no fork, or no handle on a process")
    place = tmp_path_factory.mktemp("small-disk")
    mounts = shutil.which("unshare") is not None
    mounts = mounts and not subprocess.run([*with_mount(place), "true"], capture_output=True, check=False).returncode
    with ForkServer(place if mounts else None) as running:
        yield running


@pytest.fixture(scope="session")
def inputs(
    tiny_tables: Path, tiny_models: TinyModels, bare_dataset: Path, tiny_dataset: Dataset, trained: TrainOutcome
) -> Inputs:
    return Inputs(tiny_tables, tiny_models, bare_dataset, tiny_dataset.path, trained.folder)
