# Development commands; `make` alone lists them. Every one makes its environment first if there is none.
#   make setup PYTHON=python3.12        another interpreter, 3.11 or later
#   make test ARGS="-k palette"         more arguments for pytest
#   make test ARGS="--shuffle=7"        in a random order: files, and tests within them; the same for the same number
#   make test WSVS_REAL_DATA=../data    tests on real images and videos too, which are skipped without it
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

ifdef WSVS_REAL_DATA
export WSVS_REAL_DATA
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test check coverage bench docs notebooks dist

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything pinned (minutes)

demo: $(READY) ## the whole pipeline on a synthetic world: CPU, minutes, got against expected
	$(BIN)/wsvs stage=pipeline name=toy data=synthetic $(ARGS)

# Numbers, files and messages: nothing is trained, no video decoded.
QUICK := tests/core tests/metrics/test_segmentation.py tests/metrics/test_thresholds.py tests/video/test_graph.py \
	tests/nets/test_published.py tests/test_layers.py

quick: $(READY) ## a thousand tests in about a minute
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -p no:xdist $(QUICK) $(ARGS)

test: $(READY) ## the fast tests, on two processes
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal $(ARGS)

check: $(READY) ## lint, types and the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) test

# The report is worth reading, no figure is enforced.
coverage: $(READY) ## branch coverage of the fast tests and of the processes that they start
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -n 2 --dist worksteal $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

docs: ## the site as in CI, in an environment of its own: site/index.html
	test -x build/docs/bin/mkdocs || { $(PYTHON) -m venv build/docs && \
		build/docs/bin/python -m pip install --disable-pip-version-check -q -r docs/requirements.txt; }
	build/docs/bin/mkdocs build --strict

RUNS := outputs/toy

notebooks: $(READY) ## run the notebooks on the runs of make demo (RUNS=outputs/toy), store their outputs
	test -x build/notebooks/bin/jupyter || { $(PYTHON) -m venv build/notebooks && \
		build/notebooks/bin/python -m pip install --disable-pip-version-check -q nbclient ipykernel; }
	$(BIN)/python -c 'import site; print("import site; site.addsitedir(%r)" % site.getsitepackages()[0])' \
		> $$(build/notebooks/bin/python -c 'import site; print(site.getsitepackages()[0])')/wsvs.pth
	PATH="$(CURDIR)/$(BIN):$$PATH" build/notebooks/bin/python docs/notebooks.py $(RUNS)

dist: ## wheel and source archive in dist/, checked (an environment of its own)
	test -x build/dist/bin/twine || { $(PYTHON) -m venv build/dist && \
		build/dist/bin/python -m pip install --disable-pip-version-check -q build twine; }
	rm -rf dist
	build/dist/bin/python -m build
	build/dist/bin/twine check --strict dist/*

bench: $(READY) ## time video segmentation, crawling and training on this machine; writes bench.json
	$(BIN)/python -m benchmarks $(ARGS)

# Packages are installed once, from the pins alone: the project itself brings no dependency in (--no-deps), so that
# no second torch can arrive.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "wsvs needs Python 3.11 or later: make setup PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
