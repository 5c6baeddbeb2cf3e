# Everything a newcomer needs: `make demo` and `make test` set up `.venv` by themselves.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export DAGSTER_DISABLE_TELEMETRY := 1
export DAGSTER_DG_UPDATE_CHECK_ENABLED := 0
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test test-all lint ui bench data clean

demo: $(STAMP)
	$(BIN)/python -m synth_pipeline.demo

test: $(STAMP)
	$(BIN)/pytest -n 2 --dist loadfile --durations=15

# the slow ones have daemons, browsers and killed processes: one after the other
test-all: test
	$(BIN)/pytest -m slow --durations=15

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check.py

ui: $(STAMP)
	$(BIN)/synth ui

bench: $(STAMP)
	$(BIN)/python -m benchmarks

data: $(STAMP)
	$(BIN)/python data/make.py

clean:
	rm -rf $(VENV) data/store data/releases

# torch first and alone: a later resolution that finds it installed never asks for another build of it
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)
