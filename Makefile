# make run: the app on 127.0.0.1:7860      make space: a folder that is a Hugging Face Space
# make lint: style and types               make test: every test
# make test-fast: what one runs while working; nothing is fetched, under two minutes on two cores
# TORCH_INDEX=cpu, cu130, pypi or an address: where torch is taken from, if not chosen by the machine
PYTHON ?= python3
TORCH_INDEX ?= auto
BIN := .venv/bin

.PHONY: run test test-fast lint bench space clean

run: .venv/run
	$(BIN)/python app.py

test: .venv/dev
	$(BIN)/python -m pytest

test-fast: .venv/dev
	$(BIN)/python -m pytest -m "not (slow or starter or browser or gpu or ray)"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/run .venv-peer/ready
	$(BIN)/python -m benchmarks.routing --peer .venv-peer/bin/python

space: .venv/run
	$(BIN)/python -m deploy.space

clean:
	rm -rf .venv .venv-bench .venv-peer

.venv/bin/python:
	$(PYTHON) -m venv .venv

# torch comes first and by itself: only it is looked for on PyTorch's index.
define install
	@index=$$($(1)/python deploy/torch_index.py '$(TORCH_INDEX)') && \
	  $(1)/pip install --quiet $$index -c requirements.txt torch
	$(1)/pip install --quiet $(2)
endef

.venv/run: requirements.txt constraints.txt pyproject.toml | .venv/bin/python
	$(call install,$(BIN),-c constraints.txt -e '.[workshop]')
	@touch $@

.venv/dev: requirements.txt constraints.txt pyproject.toml | .venv/bin/python
	$(call install,$(BIN),-c constraints.txt -e '.[dev]')
	@touch $@ .venv/run

# The peers that are measured beside us want other versions of what the app uses, and semantic-router
# none of those that it needs.
.venv-peer/ready:
	$(PYTHON) -m venv .venv-peer
	$(call install,.venv-peer/bin,semantic-router==1.1.1 sentence-transformers)
	@touch $@

.venv-bench/ready: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv-bench
	$(call install,.venv-bench/bin,-c constraints.txt -e '.[bench]')
	@touch $@
