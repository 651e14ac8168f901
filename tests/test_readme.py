"""What the README tells a newcomer to type works, in the order in which it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from iisan.demo.shop import ShopConfig, draw_shop
from iisan.encoders.wheels import WHEEL_MODELS, wheel_folder
from iisan.errors import UserError

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    whole = (block.replace("\\\n", " ") for block in blocks("bash"))
    lines = [line for block in whole for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the demo's tables, smaller."""
    try:
        for name in WHEEL_MODELS:
            wheel_folder(name)
    except UserError as error:
        pytest.skip(f"the offline encoders are not installed: {error}")
    folder = tmp_path_factory.mktemp("readme")
    draw_shop(ShopConfig(n_items=64, n_shoppers=200), folder / "demo" / "shop")
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "2"}


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(arguments, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def serve(arguments: list[str], folder: Path) -> None:
    """Runs the service at a free port, asks it for a page and for recommendations, and stops it."""
    command = [*arguments, "--port", "0"]
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            (address,) = re.findall(r"http://\S+", said)
            assert "<title>" in httpx.get(f"{address}/").text
            body = {"history": ["P0001", "P0002", "P0003"], "k": 5}
            assert len(httpx.post(f"{address}/recommend", json=body).json()["items"]) == 5
        finally:
            process.terminate()
    assert process.returncode == 0


def test_every_command_and_the_python_example_run(folder: Path) -> None:
    verbs = [command for command in commands() if command[0] == "iisan"]
    expected = ["import", "doctor", "encode", "train", "evaluate", "recommend", "serve"]
    assert [command[1] for command in verbs] == expected
    outputs = [run(command, folder) for command in verbs[:-1]]
    serve(verbs[-1], folder)
    assert "NDCG@10" in outputs[4]
    assert "P0001" not in outputs[5].replace("P0001 P0002", "")  # what was seen is not offered again
    (example,) = blocks("python")
    printed = run([sys.executable, "-c", example], folder)
    assert "NDCG@10" in printed
    assert printed.count("Recommendation(") == 5


def test_make_targets_exist() -> None:
    targets = [command[1] for command in commands() if command[0] == "make"]
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"
