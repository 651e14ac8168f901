"""Recommendations over HTTP: how many a second, how fast, and what memory they leave behind.

python benchmarks/serving.py --json benchmarks/results/serving.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from iisan.models.item_table import ItemTable
from iisan.models.recommender import Recommender
from machine import machine

CLIENT = Path(__file__).parent / "serving_client.py"
DIM, LENGTH = 64, 50


def make_model(folder: Path, n_items: int) -> None:
    """A model folder with random weights and items."""
    torch.manual_seed(0)
    model = Recommender(
        {"item_encoder": {"kind": "id", "n_items": n_items, "dim": DIM}, "sequence_encoder": {"max_length": LENGTH}}
    )
    model.item_table = ItemTable(
        [f"item-{row}" for row in range(n_items)],
        [f"made-up item number {row}" for row in range(n_items)],
        torch.randn(n_items, DIM),
        torch.ones(n_items, dtype=torch.bool),
    )
    model.save_pretrained(folder)


def memory_mb(pid: int) -> float:
    """Memory of a process that it shares with no file, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1000
    raise ValueError("no RssAnon")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(port: int, connections: int, count: int, n_items: int) -> dict[str, object]:
    """Has the client send requests, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        arguments = [sys.executable, str(CLIENT), str(port), str(connections), str(count), str(n_items), str(path)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr or "the client failed")
        found: dict[str, object] = json.loads(path.read_text(encoding="ascii"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--parts", type=int, default=10, help="memory is looked at after each part")
    parser.add_argument("--threads", type=int, default=1, help="threads that the server computes with")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        make_model(model, options.items)
        command = [Path(sys.executable).parent / "iisan", "serve", model, "--port", "0", "--read-only"]
        command += ["--threads", str(options.threads), "--workers", str(options.workers)]
        with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True) as server:
            try:
                result = measure(server, options)
            finally:
                server.terminate()
    result |= {key: value for key, value in vars(options).items() if key != "json"}
    result |= {"dim": DIM, **machine()}
    print(json.dumps(result, indent=2))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(server: subprocess.Popen[str], options: argparse.Namespace) -> dict[str, object]:
    """Sends all requests, in parts, and looks at the server's memory after each."""
    assert server.stdout is not None
    address = server.stdout.readline().split()
    if not address:
        raise SystemExit("the server did not start")
    port = int(address[2].rpartition(":")[2])
    per_part = options.requests // options.parts
    send(port, options.connections, per_part, options.items)  # warm-up
    before, latencies, rates, memory = memory_mb(server.pid), [], [], []
    cpu_before = cpu_seconds(server.pid)
    for _ in range(options.parts):
        part = send(port, options.connections, per_part, options.items)
        latencies += part["latencies"]
        rates.append(per_part / part["seconds"])
        memory.append(round(memory_mb(server.pid), 1))
    cuts = statistics.quantiles(latencies, n=1000)
    return {
        "recommendations_per_second": round(statistics.median(rates), 1),
        "slowest_part_per_second": round(min(rates), 1),
        "p50_ms": round(1000 * cuts[499], 2),
        "p99_ms": round(1000 * cuts[989], 2),
        "max_ms": round(1000 * max(latencies), 2),
        "memory_before_mb": round(before, 1),
        "memory_mb": memory,
        "server_cpu_ms": round(1000 * (cpu_seconds(server.pid) - cpu_before) / (per_part * options.parts), 3),
        "client_cpu_seconds_per_part": round(part["cpu_seconds"], 2),
    }


if __name__ == "__main__":
    main()
