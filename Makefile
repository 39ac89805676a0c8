# Everything a newcomer, a developer and CI do here. Needs python3 (3.11 or later, with venv) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCKS  := infra/requirements
# A lock is complete, so pip installs it without resolving: with --require-hashes its resolver refuses a release that is
# newer than the pin of a requirement with an extra (pip 23.2, bundled with Python 3.11). `pip check` proves the result.
INSTALL := install -qq --disable-pip-version-check --no-deps --require-hashes
COMPILE = $(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --no-emit-index-url --generate-hashes
SEED   ?= 0
WORLDS ?= 1
SHAPE  ?= all
DATABASE ?= pypi

.DEFAULT_GOAL := help
.PHONY: help setup run demo-all test check lint types layout sim bench emulators up-gcp lock audit prices schema clean

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

run: $(VENV)/run ## The main job: usage of a demo org from an LLM provider to FOCUS cost rows
	@$(BIN)/convergence demo

demo-all: $(VENV)/run ## Every shipped pipeline on replayed figures: rows, cost, reconciliation
	@$(BIN)/convergence demo --all

setup: $(VENV)/dev ## Install what developers need

test: $(VENV)/dev ## All tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: lint types layout test ## Everything CI runs, in this order

lint: $(VENV)/dev ## Style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev ## Strict types
	$(BIN)/mypy

layout: $(VENV)/dev ## Who may import whom
	$(BIN)/lint-imports

sim: $(VENV)/dev ## Simulated worlds SEED … SEED+WORLDS-1 of the engine
	@$(BIN)/python -m tests.simulation --seed $(SEED) --worlds $(WORLDS)

bench: $(VENV)/dev ## What the engine costs; SHAPE=chain|fan|many|api|cold|long|load|extract|orgs|procedure|all
	@$(BIN)/python -m tests.bench $(SHAPE)

emulators: $(VENV)/dev ## Stand-ins for Google's services in an environment of their own (needs a Python 3.13)
	@$(BIN)/python -m tests.emulators.environment

up-gcp: $(VENV)/dev ## Google Cloud on this machine: emulators, five functions, the demo; ARGS=--once stops after it
	@PYTHONPATH=shared $(BIN)/python -m tests.emulators.up $(ARGS)

prices: $(VENV)/dev ## Make the seeded price list again from the published one
	$(BIN)/python -m convergence.processors.genai.price_list openai anthropic

schema: $(VENV)/dev ## Make configs/pipeline.schema.json again from the models
	$(BIN)/convergence schema --write

lock: $(VENV)/python ## Resolve the locked versions again
	$(BIN)/pip install -qq --disable-pip-version-check uv
	$(COMPILE) --python-version 3.11 --extra embedded --extra build pyproject.toml -o $(LOCKS)/embedded.txt
	$(COMPILE) --python-version 3.11 --extra gcp --extra build pyproject.toml -o $(LOCKS)/gcp.txt
	$(COMPILE) --python-version 3.11 --extra embedded --extra gcp --extra build --extra dev pyproject.toml \
		-o $(LOCKS)/dev.txt
	$(COMPILE) --python-version 3.13 --override $(LOCKS)/emulators-overrides.in $(LOCKS)/emulators.in \
		-o $(LOCKS)/emulators.txt

audit: $(VENV)/dev $(VENV)/audit ## Known vulnerabilities of the locked versions; DATABASE=pypi|osv, which must be reachable
	@$(BIN)/python -m tests.repo.audit $(VENV)/audit/bin/pip-audit $(DATABASE)

$(VENV)/audit:
	@$(PYTHON) -m venv $@
	@$@/bin/pip install -qq --disable-pip-version-check pip-audit==2.10.1 || (rm -rf $@; exit 1)

clean: ## Remove environment and demo data
	rm -rf $(VENV) .convergence

# Stamps: a second call finds them newer than the locks and installs nothing.
$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit("convergence needs Python 3.11 or later, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV) || (echo "python3 has no venv module; install it (Debian: apt-get install python3-venv)"; exit 1)
	@touch $@

$(VENV)/run: $(VENV)/python $(LOCKS)/embedded.txt
	@echo "Setting up (once) …"
	@$(BIN)/pip $(INSTALL) -r $(LOCKS)/embedded.txt
	@$(MAKE) --no-print-directory link
	@touch $@

$(VENV)/dev: $(VENV)/python $(LOCKS)/dev.txt
	@echo "Setting up for development (once) …"
	@$(BIN)/pip $(INSTALL) -r $(LOCKS)/dev.txt
	@$(MAKE) --no-print-directory link
	@touch $(VENV)/run $@

.PHONY: link
link:
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/pip check --disable-pip-version-check >$(VENV)/check.log 2>&1 || (cat $(VENV)/check.log; exit 1)
	@$(BIN)/python -m compileall -q shared
