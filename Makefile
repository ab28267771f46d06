# Everything that is done with this repository. `make dev` and `make demo` need rustup and python3; so does
# `make test`, which makes itself a virtual environment for the AWS tools.

.DEFAULT_GOAL := help
.PHONY: help dev demo test format lint lint-template unit bench audit chaos clean-local

PORT ?= 8787
DATA ?= .fluxrate
PYTHON ?= python3

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

dev: ## Run the whole platform on this machine
	cargo run -p fluxrate-local -- --port $(PORT) --data $(DATA) $(if $(CLOCK),--clock $(CLOCK))

demo: ## Play the whole story, from signing up to the e-mailed invoice
	$(PYTHON) tools/demo.py

bench: .venv/installed ## Measure what usage and billing cost, in request units, bytes, seconds and dollars (QUICK=1 for a look, ONLY=ingest for a part)
	cargo build --release -p fluxrate-bench -p ingest-usage -p track-usage -p api
	cargo run --release -p fluxrate-bench -- $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

audit: ## Rebuild every total of DATA from its events, and compare (REPAIR=1 puts right what is wrong, ACCEPT_LOSS=1 also where events are lost)
	cargo run -p fluxrate-admin -- --data $(DATA) audit $(if $(REPAIR),--repair) $(if $(ACCEPT_LOSS),--accept-loss)

chaos: ## Count 200,000 events while everything goes wrong, over many seeds
	FLUXRATE_CHAOS_EVENTS=200000 FLUXRATE_CHAOS_SEEDS=2 cargo nextest run --release --profile chaos -p fluxrate-tests chaos

test: format lint lint-template unit ## Check and test everything
	@echo "everything passed: format, lints, template, unit, property, store, adapter, HTTP, Lambda and scenario tests"

format:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --quiet -- -D warnings

lint-template: .venv/installed
	.venv/bin/cfn-lint template.yaml
	SAM_CLI_TELEMETRY=0 .venv/bin/sam validate --lint

unit: .venv/installed .nextest
	cargo build --workspace --all-targets --quiet # with the binaries that tests start
	cargo nextest run --workspace --no-fail-fast --status-level fail

# The AWS tools in Python, as tools/requirements.txt pins them.
.venv/installed: tools/requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement tools/requirements.txt
	touch .venv/installed

# The test runner, unless it is there already.
.nextest:
	@cargo nextest --version > /dev/null 2>&1 || cargo install --locked cargo-nextest
.PHONY: .nextest

clean-local: ## Forget everything that `make dev` has stored
	rm -rf $(DATA)
