# make demo      measure the pretrained digits model, from nothing
# make check     lint, and the tests that build no network and are quick: about a minute
# make test      lint and all tests, from nothing, in three processes
# make campaign  every case of tests/campaign, some minutes to an hour; SEED=2 for others
# make lint      the linter alone
# make docs      the documentation as a site: open site/index.html
# make dist      the source distribution, and the wheel built from it, in dist/
# make wheel-check  install that wheel in an environment of its own, and use it there
# make clean     remove what these made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

SEED ?= 1

.PHONY: demo check test campaign lint docs dist wheel-check clean

demo: $(VENV)/demo.done
	$(BIN)/aebnas zoo evaluate aebnas_digits

check: lint
	$(BIN)/python -m pytest --quick -n 2 --dist loadfile --no-loadscope-reorder

# A file's tests share networks that are built once, so they stay in one process. The
# third process uses two cores while others wait for something.
test: lint
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# It records what it ran in docs/reliability.json and docs/reliability.md.
campaign: $(VENV)/test.done
	$(BIN)/python -m pytest tests/campaign --campaign --campaign-seed $(SEED)

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# It reads the sources and imports nothing of them.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/docs.done
	$(BIN)/mkdocs build --strict --quiet

dist: $(VENV)/dist.done
	rm -rf build dist
	$(BIN)/python -m build

wheel-check: dist
	tests/check_wheel.sh dist/*.whl

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(BIN)/python setup.py
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/test.done: $(BIN)/python setup.py
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/docs.done: $(BIN)/python setup.py
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

$(VENV)/dist.done: $(BIN)/python
	$(BIN)/python -m pip install --quiet "build>=1.2,<2"
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
