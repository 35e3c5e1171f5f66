# `make run` and `make test` are all a fresh machine needs: each creates .venv on its first call and reuses it afterwards.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.installed
PEERS  := $(VENV)/.installed-peers

.PHONY: run test slow check docs bench clean
.DEFAULT_GOAL := run

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "pongan needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,box2d]'
	@touch $@

$(PEERS): $(READY)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,box2d,mujoco,onnx,optuna,peers,ray]'
	@touch $@

run: $(READY)  ## train an agent that wins at Pong: until its last hundred games are 18 points ahead, at most ten minutes
	$(PY) -m experiments.run pong-pg-fast --run.solved-at 18 --run.time-limit 600 --run.until 3000000

test: $(READY)  ## unit and contract tests, on all cores
	$(PY) -m pytest -n auto --maxprocesses 8 --dist worksteal

slow: $(PEERS)  ## learning runs, the long kill/resume tests, and what needs mujoco, ray, onnx or the libraries that are measured beside this one
	$(PY) -m pytest -m slow --timeout 7200

check: $(READY) docs  ## ruff (lint and format), mypy, import-linter, the documentation
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(READY)  ## the documentation into site/, any warning is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

bench: $(READY)  ## policy-gradient Pong beside the algorithm as originally written
	$(PY) -m experiments.benchmarks.policy_gradient

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
