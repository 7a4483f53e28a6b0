# Everything that people and CI do with this checkout. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# How many processes run the tests; "auto" takes one more than there are cores.
TEST_PROCESSES ?= auto
TEST_ARGS ?= -m "not browser and not postgres and not drill"

.DEFAULT_GOAL := help
.PHONY: help run test lint drills bench screenshots

help: ## List what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: $(VENV)/run.stamp ## Run the product with a demo account; Ctrl-C ends it
	@exec $(BIN)/python manage.py run_stack $(RUN_ARGS)

test: $(VENV)/dev.stamp ## Run the tests (TEST_ARGS="tests/views -x" for some of them)
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal $(TEST_ARGS)

lint: $(VENV)/dev.stamp ## Check style, types, templates, import direction and migrations
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@find templates -name '*.html' -exec $(BIN)/djade --check {} + && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run && $(BIN)/python manage.py check

drills: $(VENV)/dev.stamp ## Break all that the product stands on under many syncs, in full; print what came of it
	@DRILLS=full $(BIN)/python -m pytest -q -s -p no:randomly -m drill tests/drills

bench: $(VENV)/dev.stamp ## Measure the figures of the design beside their bars
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

screenshots: $(VENV)/dev.stamp ## Take the pictures of README.md from the running product
	@$(BIN)/python -m tests.screenshots

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Rollcall needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing $< into $(VENV)/ ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	@echo "Installing $< into $(VENV)/ ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@ $(VENV)/run.stamp
