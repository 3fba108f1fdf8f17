# make run: the app on 127.0.0.1:7860      make space: a folder that is a Hugging Face Space
# make lint: style and types               make test: every test
# make test-fast: what one runs while working; nothing is fetched, under two minutes on two cores
PYTHON ?= python3
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

bench: .venv-bench/ready
	.venv-bench/bin/python -m benchmarks.routing

space: .venv/run
	$(BIN)/python -m deploy.space

clean:
	rm -rf .venv .venv-bench

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run: requirements.txt | .venv/bin/python
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

.venv/dev: requirements.txt requirements-dev.txt | .venv/bin/python
	$(BIN)/pip install --quiet -r requirements-dev.txt
	@touch $@ .venv/run

# The peers that are measured beside us want other versions of what the app uses.
.venv-bench/ready: requirements.txt requirements-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet -r requirements-bench.txt
	@touch $@
