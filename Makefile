# Two commands on a fresh machine: `make predict` and `make test`. Needs python3 with venv, and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet

ONE    := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
TASK   := digits --classes parity --train-size 200 --test-size 500 --width 200 --temperature 0.1

.DEFAULT_GOAL := help
.PHONY: help predict verify reproduce test test-slow bench bench-sampling bench-truth bench-gap bench-probes bench-cavity evidence lint clean

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[sample]'
	@touch $@

$(VENV)/tested: $(VENV)/installed
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/linted: $(VENV)/tested
	$(PIP) -e '.[lint]'
	@touch $@

predict: $(VENV)/installed  ## predict a finite-width network on real digits: table, predict.json, predict.png
	$(BIN)/widthwise predict $(TASK) --json predict.json --figure predict.png

verify: $(VENV)/installed   ## the same network, sampled, beside the prediction (a few minutes)
	$(BIN)/widthwise verify $(TASK) --json verify.json --figure verify.png

reproduce: $(VENV)/installed  ## the published results, quickly (embedded data, about fifteen minutes)
	mkdir -p reproduced
	for name in baglioni2024 pacelli2023-fig1 depth student-t multi-output convolution; do $(ONE) $(BIN)/widthwise reproduce $$name --out reproduced || exit 1; done

test: $(VENV)/tested        ## the default tests: CPU, no network
	$(ONE) $(BIN)/python -m pytest -n auto -m "not slow and not gpu"

test-slow: $(VENV)/tested   ## the slow tests: long chains, large kernels, real data where it is present
	$(ONE) $(BIN)/python -m pytest -m "slow"

bench: $(VENV)/tested       ## time the engine against LAPACK and rewrite docs/benchmarks.md
	$(ONE) $(BIN)/python bench/run.py --write docs/benchmarks.md

bench-sampling: $(VENV)/tested  ## all samplers on the same networks; rewrites docs/sampling.md (an hour)
	$(ONE) $(BIN)/python bench/sampling.py --write docs/sampling.md
	$(ONE) $(BIN)/python bench/posteriors.py --write docs/sampling.md

bench-truth: $(VENV)/tested  ## the theory's error bar against sampled networks; rewrites docs/truth.md (DATA=FOLDER; two hours)
	$(ONE) $(BIN)/python bench/truth.py $(if $(DATA),--data $(DATA)) --store truth.db --write docs/truth.md

bench-gap: $(VENV)/tested    ## the last layer's bound against trained networks; rewrites docs/gap.md (DATA=FOLDER; an hour)
	$(ONE) $(BIN)/python bench/gap.py $(if $(DATA),--data $(DATA)) --store gap.db --write docs/gap.md

bench-probes: $(VENV)/tested  ## collapse to the teacher, or memorise? rewrites docs/probes.md (DATA=FOLDER; an hour)
	$(ONE) $(BIN)/python bench/probes.py $(if $(DATA),--data $(DATA)) --store probes.db --write docs/probes.md

bench-cavity: $(VENV)/tested ## a few real neurons in a Gaussian bath against sampled networks; rewrites docs/cavity.md (DATA=FOLDER; hours)
	$(ONE) $(BIN)/python bench/cavity.py $(if $(DATA),--data $(DATA)) --store cavity.db --write docs/cavity.md

evidence: $(VENV)/tested    ## sample real networks beside their predictions and rewrite docs/evidence.md (two hours)
	$(ONE) $(BIN)/python bench/evidence.py --write docs/evidence.md
	$(ONE) $(BIN)/python bench/architectures.py --write docs/evidence.md

lint: $(VENV)/linted        ## style, types, and the import walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:                      ## remove the environment and every cache
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache predict.json predict.png verify.json verify.png reproduced
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
