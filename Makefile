# `make demo` and `make test` need Python 3.11 and make; tests of reports also a Chromium, which
# `make browser` installs where it may (MIPNET_BROWSER names another one).
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Of `make fuzz`: how long, how many processes, and (to replay a failure) which seed and how many.
SECONDS ?= 1800
JOBS    ?= 1
SEED    ?=
COUNT   ?=

.PHONY: setup demo test lint types pytest browser fuzz clean

setup: $(STAMP)

# Installs again only when the requirements change.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[torch,onnx,report,test]'
	touch $@

demo: $(STAMP)
	$(BIN)/mipnet demo

test: lint types pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# Files of tests go to as many processes as there are cores.
pytest: $(STAMP) browser
	$(BIN)/pytest -n auto --dist loadfile

# Chromium of the system, from the package manager of Debian and Ubuntu where there is none.
browser:
	@.ci/browser

# Random questions against exact answers, for hours if need be; prints the seed of every failure.
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --jobs $(JOBS) \
		$(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT))

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
