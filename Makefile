# One door for people: `make help` lists what there is. Needs Python 3.11 to 3.13, git and make; no compiler.
PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# Wheels only, so that no compiler is ever needed; in the versions of constraints.txt, which were tested together.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
INSTALL := $(PIP) install --only-binary :all: --constraint constraints.txt

NAME_A_PYTHON := name a Python 3.11, 3.12 or 3.13, such as: make PYTHON=python3.11

.DEFAULT_GOAL := help
.PHONY: help setup run test check format sipp chaos soak bench boards flood fuzz pins clean

help:  ## List the targets
	@echo "make TARGET [ARGS=\"...\"] [PYTHON=python3.12]"
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r name words; do printf '  %-8s %s\n' "$$name" "$$words"; done

setup: $(VENV)/.runtime  ## Make .venv and install sipshop into it
	@echo "$(VENV) is ready: $(BIN)/sipshop --help"

run: $(VENV)/.runtime  ## Start the demo: three shops with ten booths and a carrier (ARGS="--listen 192.0.2.1 ...")
	@exec $(BIN)/sipshop demo $(ARGS)

test: $(VENV)/.dev  ## Run every test, those against foreign phones too (ARGS="-k digest ...")
	@tools/foreign_programs.sh
	@$(BIN)/python -m pytest --numprocesses 3 $(ARGS)

check: $(VENV)/.dev  ## Check format, lint, types and the walls between the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_walls.py

format: $(VENV)/.dev  ## Format the code, and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

sipp: $(VENV)/.dev  ## Run the SIPp scenarios against the running demo (make run, in another window)
	@tools/foreign_programs.sh sipp
	@$(BIN)/python tools/sipp_run.py $(ARGS)

chaos: $(VENV)/.dev  ## Kill the server 120 times under 200 calls, and count (ARGS="--seed 7 --kills 20 ...")
	@tools/foreign_programs.sh sipp strace
	@$(BIN)/python -m tests.wire.chaos $(ARGS)

flood: $(VENV)/.dev  ## Calls while 5,000 strangers a second flood, and what that costs (ARGS="--seconds 60 ...")
	@tools/foreign_programs.sh sipp
	@$(BIN)/python -m tests.wire.flood $(ARGS)

fuzz: $(VENV)/.fuzz  ## Feed the SIP engine random bytes until Ctrl-C (ARGS="message -max_total_time=60 ...")
	@$(BIN)/python -m tests.sip.fuzz_on $(ARGS)

soak: $(VENV)/.dev  ## Let 200,000 stories and 10,000 calls of every kind leave nothing behind: above an hour
	@tools/foreign_programs.sh sipp
	@# One after the other: a server whose disk waits for the stories refuses calls, as it should, and leaks nothing by it
	@$(BIN)/python -m pytest --soak tests/wire/test_leaks.py
	@$(BIN)/python -m pytest --numprocesses 2 --soak tests/switch/test_two_stacks.py

bench: $(VENV)/.dev  ## Measure decks of a million rates, imports of 300,000 rows, the audit of a million CDRs
	@$(BIN)/python -m tools.bench_decks
	@$(BIN)/python -m tools.bench_sheets
	@$(BIN)/python -m tools.bench_books $(ARGS)

boards: $(VENV)/.dev  ## Measure sixty booths in calls and twenty boards that look on (ARGS="--rounds 1 ...")
	@tools/foreign_programs.sh sipp
	@$(BIN)/python -m tools.bench_boards $(ARGS)

pins: $(VENV)/.dev  ## Write the newest versions of everything we install into constraints.txt
	$(PIP) install --only-binary :all: --upgrade --upgrade-strategy eager --editable . --group dev
	@sed -n '/^#/p' constraints.txt >$(VENV)/.pins
	@$(BIN)/python -m pip freeze --exclude-editable >>$(VENV)/.pins
	@mv $(VENV)/.pins constraints.txt

clean:  ## Remove .venv and every cache; data/ stays, it holds the CDRs
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
	find sipshop tests tools -name __pycache__ -prune -exec rm -rf {} +

# Each stamp says that a step was done with the files it depends on: with nothing changed, nothing is run.

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "sipshop: there is no $(PYTHON) here; $(NAME_A_PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "sipshop: $(PYTHON) is $$($(PYTHON) -V 2>&1); $(NAME_A_PYTHON)" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) tools/make_venv.py $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing sipshop and what it needs"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the tools for tests and checks"
	@$(INSTALL) --group dev
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	@$(INSTALL) --group fuzz
	@touch $@
