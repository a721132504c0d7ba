# make demo    measure the pretrained digits model, from nothing
# make test    lint and all tests, from nothing
# make clean   remove what the two made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint clean

demo: $(VENV)/demo.done
	$(BIN)/python -m zoo evaluate aebnas_digits

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(BIN)/python setup.py
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/test.done: $(BIN)/python setup.py
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
