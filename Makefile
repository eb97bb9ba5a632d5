# Requires python3 (3.11 or newer) and make; everything else is installed into $(VENV).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test unit lint docs clean

demo: $(VENV)/installed
	$(BIN)/python examples/demo.py demo

test: lint docs unit

unit: $(VENV)/installed
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in site/. Warnings, such as links without a target, are errors.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The plugins are installed without their dependencies: the tests that need deepinv are skipped unless it is installed.
PLUGINS := $(wildcard plugins/*/pyproject.toml)

$(VENV)/installed: pyproject.toml $(PLUGINS)
	$(PYTHON) -c 'import sys; sys.exit(f"Python 3.11 or newer is required, this is {sys.version}" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(patsubst %/pyproject.toml,--editable ./%,$(PLUGINS))
	touch $@

clean:
	rm -rf .venv .venv-newest demo site build dist
