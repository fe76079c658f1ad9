# make demo: the whole method on this machine. make test: the tests. make package: wheel and sdist.
# make docs: the site.
# All make their own environment in .venv, once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.installed

.PHONY: demo test lint package docs install

demo: install
	$(VENV)/bin/nas quickstart

test: install
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto $(ARGS)

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# wheel and sdist into dist/, their contents checked, and the wheel tried in an empty folder
package: install
	$(VENV)/bin/python .ci/package.py

# the documentation as a site, in build/site (its search needs a server: python -m http.server
# -d build/site); a warning is an error, links and anchors included
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build
	@echo build/site/index.html

$(VENV)/.docs: $(READY)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

install: $(READY)

# One command under constraints: a second one could replace torch by another build.
# From scratch, because an installation that was interrupted may be broken inside.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)
