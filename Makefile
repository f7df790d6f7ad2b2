# make run    create the environment, check every claim, draw every figure, write the report
# make test   create the environment, run the tests
# make bench  measure the hot paths against their peers (JAX is installed for it)
# make clean  remove what the other targets made, the environment included

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

.PHONY: run test bench clean env

env: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,demo,cluster,parquet]"
	touch $@

run: env
	$(BIN)/theorycheck run --jobs $(JOBS)

test: env
	$(BIN)/python -m pytest -n $(JOBS) tests

bench: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) results build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
