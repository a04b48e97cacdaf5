# Everything runs in .venv, made on first use from constraints.txt.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
KERNEL_SOURCES := $(wildcard src/orrery/kernel/csrc/*.[ch]) src/orrery/kernel/build.py setup.py

.PHONY: help install demo rollout-demo test test-slow interop check format bench sanitize coverage clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## Set up .venv with Orrery and its tools.

$(INSTALLED): pyproject.toml constraints.txt $(KERNEL_SOURCES)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "make: no venv here; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -c 'import os, sys, sysconfig; \
		sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
		|| { echo "make: no headers of Python here; on Debian: apt install python3-dev" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip setuptools wheel cffi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--no-build-isolation -e '.[speed,lock,ssh,lab,dev]'
	@touch $@

demo: $(INSTALLED) ## Run the main job: a planet that updates itself, on this machine.
	$(BIN)/orrery demo

rollout-demo: $(INSTALLED) ## Play docs/operations/rollout.md: a plan, a canary, a rollback, a kill.
	$(BIN)/python -m orrery.lab.rollout_demo

test: $(INSTALLED) ## Run the tests (PYTEST_ARGS adds arguments).
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow' $(PYTEST_ARGS)

test-slow: $(INSTALLED) ## Run the long fuzzing, crash and load tests.
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow --timeout 3600 $(PYTEST_ARGS)

interop: $(INSTALLED) ## Run against a real node: ORRERY_ZEROTIER_ONE names the binary.
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'interop and not slow' tests/interop $(PYTEST_ARGS)

check: $(INSTALLED) ## Check style, types and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Put the code into its form.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## Run the benchmarks.
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

sanitize: $(INSTALLED) ## Run the kernel under ASan and UBSan.
	$(BIN)/python -m pytest tests/kernel -k sanitize

coverage: $(INSTALLED) ## Measure which lines and branches the tests reach.
	$(BIN)/python -m coverage run -m pytest -m 'not slow' $(PYTEST_ARGS)
	$(BIN)/python -m coverage report --skip-covered

clean: ## Remove what was made.
	rm -rf $(VENV) build *.egg-info src/*.egg-info src/orrery/kernel/*.so
