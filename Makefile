# Everything runs in an environment of the checkout's own, .venv, made on first use: a machine needs python3 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEEDS ?= 20000
MINUTES ?= 3

# One BLAS thread a process: the cores belong to the processes.
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo bench-kv bench-plan bench-links bench-overlap bench-loss bench-safety test lint types unit parity recovery torture torture-fresh chaos chaos-slice format check-wheel bench-exec clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## train a small convolutional network on handwritten digits: 2 workers, 1 server, this machine
	@mkdir -p .demo
	$(BIN)/psdist demo --plot .demo/digits.png

test: $(VENV)/.test ## format, lint, types and all fast tests
	@$(MAKE) --no-print-directory -j 2 lint types unit

lint: $(VENV)/.test ## ruff: format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test ## mypy --strict
	$(BIN)/mypy

unit: $(VENV)/.test ## pytest on two processes
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

parity: $(VENV)/.test ## compare every operator with MXNet 1.9.1's own answers, and list the names still missing
	$(BIN)/python -m pytest -q -n 2 --dist worksteal tests/parity
	@$(BIN)/python tests/parity/scope.py

recovery: $(VENV)/.test ## the slower tests: jobs whose processes die and come back, and rules that are switched off
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m slow

torture: $(VENV)/.test ## simulated faults: SEEDS=20000 schedules, the same each time, or as many as MINUTES=3 allow
	$(BIN)/psdist torture --seeds $(SEEDS) --minutes $(MINUTES)

torture-fresh: $(VENV)/.test ## a minute of schedules that nobody has played yet
	$(BIN)/psdist torture --fresh --minutes 1

chaos: $(VENV)/.test ## real processes meet real faults: kills, stops, cut links, full disks, strangers; about 10 minutes
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m chaos tests/chaos

chaos-slice: $(VENV)/.test ## the part of it that CI runs, about 3 minutes
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "chaos and slice" tests/chaos

format: $(VENV)/.test ## rewrite the sources as ruff would have them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# MXNET=PYTHON and TORCH=PYTHON name interpreters that have the peers; PSLITE=PROGRAM one made from bench/peers/pslite.cc
bench-kv: $(VENV)/.test ## exchange parameters, psdist and the peers given by MXNET=, TORCH=, PSLITE= in one run: docs/bench-kv.md
	$(BIN)/python bench/kv.py --out docs $(if $(MXNET),--mxnet $(MXNET)) $(if $(TORCH),--torch $(TORCH)) $(if $(PSLITE),--pslite $(PSLITE))

bench-plan: $(VENV)/.test ## how well psdist plan predicts what is measured here: docs/plan.md
	cd bench && ../$(BIN)/python plan.py --keep ../launch/psdist_launch/plan/costs.json --out ../docs

bench-links: $(VENV)/.test ## how much of a link is used, beside iperf3, between network namespaces (root): docs/links.md
	cd bench && ../$(BIN)/python links.py --write ../docs/links.md

bench-overlap: $(VENV)/.test ## how much of the exchange is hidden under computing: docs/overlap.md
	$(BIN)/python bench/overlap.py --write docs/overlap.md

bench-loss: $(VENV)/.test ## loss over bytes, with each compression: docs/compression.md
	$(BIN)/python bench/loss.py --out docs

bench-safety: $(VENV)/.test ## recovery times, and what replicas and snapshots cost: docs/recovery.md, docs/durability-cost.md
	$(BIN)/python bench/durability_cost.py --out docs
	$(BIN)/python bench/recovery.py --trials 8 --out docs

check-wheel: $(VENV)/.test ## build the wheel, install it elsewhere, train the demo for one epoch from there
	.ci/check-wheel $(BIN)/python

# Peers are found by a path to their interpreter: make bench-exec PSDIST_BENCH_MXNET=.../python PSDIST_BENCH_PEERS=.../python
bench-exec: $(VENV)/.test ## execution beside MXNet, torch and JAX where they are installed: docs/bench-exec.md
	PSDIST_BENCH_MXNET=$(PSDIST_BENCH_MXNET) PSDIST_BENCH_PEERS=$(PSDIST_BENCH_PEERS) $(BIN)/python bench/exec.py

clean: ## remove the environment and everything built
	rm -rf $(VENV) .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ── the environment ──────────────────────────────────────────────────────────────────────────────────────────
# A stamp says that an extra is installed; editing pyproject.toml makes it stale.

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "psdist needs Python 3.11 or newer, and there is no '$(PYTHON)' here. Name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "psdist needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "'$(PYTHON)' cannot make an environment (python3 -m venv); on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.test $(VENV)/.demo: $(VENV)/.%: $(VENV)/.made pyproject.toml
	@echo "installing psdist[$*] into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@
