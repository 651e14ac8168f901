"""The examples of the guide to serving do what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from iisan.data.dataset import Dataset
from iisan.jobs.train import TrainOutcome
from iisan.serving.settings import ServeSettings
from tests.conftest import TinyModels
from tests.serving.running import running
from tests.serving.test_writing import TOKEN, wait_until_ready

GUIDE = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_requests_of_the_guide_are_answered(
    trained: TrainOutcome, tiny_dataset: Dataset, tiny_models: TinyModels, tmp_path: Path
) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    requests = "\n".join(block for block in blocks if "$SERVICE" in block)
    assert requests.count("curl") >= 12
    # The ids of the sample shop stand for some of the tiny dataset.
    requests = re.sub(r"P00(\d\d)", lambda found: f"i{int(found[1]) % 20 + 1}", requests).replace("lamp&", "a&")
    shutil.copytree(trained.folder, tmp_path / "model")
    encoders = [f"text={tiny_models.text}", f"image={tiny_models.image}"]
    with running(tmp_path / "model", token=TOKEN, dataset=tiny_dataset.path, encoder=encoders) as served:
        wait_until_ready(served.client)
        environment = {**os.environ, "SERVICE": f"http://127.0.0.1:{served.port}", "IISAN_TOKEN": TOKEN}
        script = 'set -e\ncurl() { command curl --fail-with-body --max-time 60 "$@"; echo; }\n' + requests
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count('"items"') >= 6
        assert '"outcome":"added"' in done.stdout
        assert served.client.get("/items/lamp-1").status_code == 404  # taken back by the last line
        assert (tmp_path / "picture.jpg").read_bytes().startswith(b"\xff\xd8")


def test_every_route_and_option_that_the_guide_names_is_there() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    options = {name.replace("-", "_") for name in re.findall(r"--([a-z][a-z-]+)", text)}
    foreign = {"fail", "model"}
    assert options - foreign <= set(ServeSettings.model_fields)
