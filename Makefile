# Every target makes its own environment and needs nothing but a Python with venv:
#   make demo                      the demonstration, with python3
#   make test PYTHON=python3.12    the tests, with another Python (meant to stay under 20 minutes on two cores)
#   make test-long                 notebooks on real kernels: conformance, everyday and random ones, the examples
#   make test-browser              the report page in headless Chromium, with axe
#   make test-taskvine             the real TaskVine, in a second Debian (root and mmdebstrap; else it says why not)
#   make public                    notebooks of public projects, against plain runs
#   make test-crate                outside validators of RO-Crate over a package (else says why not)
#   make test-sites                a package at a second site: another Debian in a folder; needs root and mmdebstrap
#   make test-engines              real engines for minutes: all conformance cases, managers and workers killed
#   make test-slurm                Dask and Parsl on a real Slurm of two nodes on loopback (root and apt; else says why not)
#   make test-slow                 the live kernel against a plain one, 2000 random sessions (about an hour)
#   make test-faults               kills, changed bytes, failing disks, company: counts (about 20 minutes)
#   make fuzz                      5000 random notebooks and edits against plain runs (about two hours)
# Environments are kept in .venv-<purpose>-<version>/ and made again when pyproject.toml changes.

PYTHON ?= python3
PYTEST_ARGS ?=
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

# A name may stand for a launcher of pyenv whose version is installed but not active: run it to
# be sure, and ask pyenv where the real one is before giving up.
INTERPRETER := $(shell $(PYTHON) -c '' 2>/dev/null && echo '$(PYTHON)' || pyenv whence --path '$(PYTHON)' 2>/dev/null | tail -n 1)
VERSION := $(if $(INTERPRETER),$(shell $(INTERPRETER) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
USABLE := $(if $(INTERPRETER),$(shell $(INTERPRETER) -c 'import sys, venv, ensurepip; print(int(sys.version_info >= (3, 11)))' 2>/dev/null))

DEMO_ENV := .venv-demo-$(VERSION)
TEST_ENV := .venv-test-$(VERSION)

.PHONY: help demo test test-long test-faults test-crate test-sites test-engines test-slurm test-taskvine bench-tasks fuzz-packages test-browser test-slow fuzz public lint bench bench-peers bench-compare clean check-python

help:
	@echo "make demo | test | test-long | test-faults | test-engines | test-slurm | test-taskvine | test-browser | test-sites | test-crate | test-slow | fuzz | fuzz-packages | public | lint | bench | bench-peers | bench-compare | clean   [PYTHON=python3.12]"

check-python:
ifeq ($(VERSION),)
	@echo "PYTHON=$(PYTHON) cannot be run here. Give a Python that works, such as PYTHON=/path/to/python3.12." >&2; exit 2
else ifeq ($(USABLE),)
	@echo "PYTHON=$(PYTHON) ($(VERSION)) has no venv module. Install it (Debian: apt install python$(VERSION)-venv)." >&2; exit 2
else ifeq ($(USABLE),0)
	@echo "PYTHON=$(PYTHON) is Python $(VERSION); nbrewind needs 3.11 or later, such as PYTHON=python3.12." >&2; exit 2
endif

$(DEMO_ENV)/.done: pyproject.toml | check-python
	$(INTERPRETER) -m venv --clear $(DEMO_ENV)
	$(DEMO_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

$(TEST_ENV)/.done: pyproject.toml | check-python
	$(INTERPRETER) -m venv --clear $(TEST_ENV)
	$(TEST_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

demo: $(DEMO_ENV)/.done
	$(DEMO_ENV)/bin/python -m nbrewind demo

test: $(TEST_ENV)/.done
	$(TEST_ENV)/bin/python -m pytest -n 2 --dist worksteal -m "not engines and not slow" $(PYTEST_ARGS)

test-long: $(TEST_ENV)/.done
	$(TEST_ENV)/bin/python -m pytest -n 2 --dist worksteal -m slow $(PYTEST_ARGS)

test-slow: $(TEST_ENV)/.done
	NBREWIND_LIVE_EXAMPLES=2000 $(TEST_ENV)/bin/python -m pytest tests/live $(PYTEST_ARGS)

test-sites: $(TEST_ENV)/.done
	NBREWIND_SITES=1 $(TEST_ENV)/bin/python -m pytest tests/sites $(PYTEST_ARGS)

test-crate: $(TEST_ENV)/.done
	tests/crate/run.sh $(TEST_ENV)/bin/python .venv-crate-$(VERSION) $(PYTEST_ARGS)

fuzz-packages: $(TEST_ENV)/.done
	$(TEST_ENV)/bin/python -m tests.package.fuzz --seconds 300

# Real engines for minutes: every adapter through the whole conformance class, managers and workers killed.
ENGINES_ENV := .venv-engines-$(VERSION)

$(ENGINES_ENV)/.done: pyproject.toml | check-python
	$(INTERPRETER) -m venv --clear $(ENGINES_ENV)
	$(ENGINES_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,engines]'
	@touch $@

test-engines: $(ENGINES_ENV)/.done
	$(ENGINES_ENV)/bin/python -m pytest -m "engines or not engines" tests/engines tests/tasks $(PYTEST_ARGS)
	tests/slurm/run.sh $(ENGINES_ENV)/bin/python $(SLURM_ARGS)

SLURM_ARGS ?=

test-slurm: check-python
	@! tests/slurm/run.sh check || { \
	    $(MAKE) --no-print-directory $(ENGINES_ENV)/.done && \
	    tests/slurm/run.sh $(ENGINES_ENV)/bin/python $(SLURM_ARGS); }

bench-tasks: $(ENGINES_ENV)/.done
	$(ENGINES_ENV)/bin/python -m benchmarks.tasks

TASKVINE_ARGS ?=

test-taskvine: $(TEST_ENV)/.done
	tests/taskvine/run.sh $(TEST_ENV)/bin/python $(TASKVINE_ARGS)

FUZZ_ARGS ?= --examples 5000

fuzz: $(TEST_ENV)/.done
	$(TEST_ENV)/bin/python -m tests.fuzz.run $(FUZZ_ARGS)

# Headless Chromium over the report page; npm installs what drives it.
BROWSER_MODULES := .node-browser

$(BROWSER_MODULES)/.done: tests/browser/package.json
	mkdir -p $(BROWSER_MODULES)
	cp tests/browser/package.json $(BROWSER_MODULES)/
	cd $(BROWSER_MODULES) && npm install --no-audit --no-fund --silent
	@touch $@

test-browser: $(TEST_ENV)/.done
	@if ! command -v npm >/dev/null; then echo "skipped: there is no npm here (Debian: apt install npm chromium)"; else \
	    $(MAKE) --no-print-directory $(BROWSER_MODULES)/.done && \
	    PYTHONPATH=src:tests $(TEST_ENV)/bin/python -m tests.browser.run --modules $(BROWSER_MODULES) $(BROWSER_ARGS); fi

# make test-faults FAULTS=points runs one kind: points, times, bytes, writes, full, company, clock, removed.
FAULTS ?=

test-faults: $(TEST_ENV)/.done
	$(TEST_ENV)/bin/python -m tests.faults.run $(FAULTS)

lint: $(TEST_ENV)/.done
	$(TEST_ENV)/bin/ruff check
	$(TEST_ENV)/bin/ruff format --check --quiet
	$(TEST_ENV)/bin/mypy

# Downloads source distributions and what their notebooks import: the one target that needs the network for more
# than its environment.
PUBLIC_ENV := .venv-public-$(VERSION)
PUBLIC_PACKAGES := awkward boost-histogram control corner emcee formulaic hdbscan hist iminuit jacobi lmfit mplhep \
    networkx packaging particle scikit-learn seaborn statsmodels sympy tabulate vector \
    mesa
PUBLIC_ARGS ?=

$(PUBLIC_ENV)/.done: pyproject.toml | check-python
	$(INTERPRETER) -m venv --clear $(PUBLIC_ENV)
	$(PUBLIC_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]' \
	    $(PUBLIC_PACKAGES)
	@touch $@

public: $(PUBLIC_ENV)/.done
	$(PUBLIC_ENV)/bin/python -m tests.public.run $(PUBLIC_ARGS)

bench: $(TEST_ENV)/.done
	$(TEST_ENV)/bin/python -m benchmarks.audit_overhead

# The peers, each in an environment of its own, and the comparison with them.
PEERS := kishu ipyflow dill
PEER_PACKAGES := ipykernel numpy pandas scikit-learn polars pyarrow
PEER_kishu := kishu==0.3.4
PEER_ipyflow := ipyflow
PEER_dill := dill

bench-peers: $(PEERS:%=.venv-bench-%/.done)

.venv-bench-%/.done: | check-python
	$(INTERPRETER) -m venv --clear .venv-bench-$*
	.venv-bench-$*/bin/python -m pip install --quiet --disable-pip-version-check $(PEER_$*) $(PEER_PACKAGES)
	@touch $@

bench-compare: $(TEST_ENV)/.done
	$(TEST_ENV)/bin/python -m benchmarks.compare $(BENCH_ARGS)
	$(TEST_ENV)/bin/python -m benchmarks.growth $(GROWTH_ARGS)
	$(TEST_ENV)/bin/python -m benchmarks.page

clean:
	rm -rf .node-browser .site-* .taskvine-root .venv-crate-* .venv-demo-* .venv-engines-* .venv-test-* .venv-public-* .venv-bench-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
