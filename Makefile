# The two commands of the README: `make run` and `make test`. Both set up everything first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test check docs browser fuzz chaos soak

help:
	@echo "make run    set up, then learn Doom's world, train in the dream, score in the game (about 15 minutes)"
	@echo "make test   set up, then every check: format, lint, types, tests"
	@echo "make docs   build the documentation as a site, site/index.html"
	@echo "make browser  install Debian's Chromium, which the tests of the lab drive where they find it"
	@echo "make fuzz   10,000 mutated files for the readers; make chaos   200 kill -9 and other faults (minutes each)"
	@echo "make soak   two hours of evolving, memory and file descriptors watched"
	@echo "make setup  only create .venv and install what constraints.txt pins"

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[all,docs,dev]'
	touch $@

run: setup
	$(BIN)/reverie run doom --preset quick

test: setup check

check:
	$(BIN)/ruff format --check src tests examples docs
	$(BIN)/ruff check src tests examples docs
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

fuzz: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --cases 10000

chaos: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos --kills 200

soak: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak --hours 2

browser:
	command -v chromium || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }
