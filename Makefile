# make demo | test | lint | bench: each prepares .venv itself, once, and again when the pins change.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench format

PYTHON ?= python3.11
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python

help:
	@echo "make demo   synthetic records from the embedded cohort, into runs/demo"
	@echo "make demo COHORT=<folder> TARGETS=<columns> [MODALITY=cxr|head_ct] [SYNTHESIZER=..] [PRESET=..] [NAME=..]"
	@echo "make test | lint | bench"

# torch first and pinned: an unpinned one would bring several gigabytes of CUDA.
$(READY): setup.cfg pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -c constraints.txt torch
	$(RUN) -m pip install --quiet -c constraints.txt --editable ".[dev]"
	touch $@

test: $(READY)
	$(RUN) -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(READY)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(READY)
	set -e; for script in benchmarks/*.py; do echo "== $$script"; $(RUN) $$script; done
