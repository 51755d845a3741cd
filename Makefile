.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
UV ?= $(shell command -v uv)
CPU ?=
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# CPU=1: torch without CUDA, from an index of such builds.
EXTRA_INDEX := $(if $(CPU),--extra-index-url $(TORCH_CPU_INDEX))
INSTALL := $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python $(if $(CPU),--index-strategy unsafe-best-match),\
	$(BIN)/python -m pip install --quiet --disable-pip-version-check) $(EXTRA_INDEX)
DOWNLOAD := $(if $(CPU),less than 1 GB,3.4 GB)
TEST_PROCESSES ?= 3
ifneq ($(CPU),)
ifeq ($(filter clean help,$(MAKECMDGOALS)),)
ifneq ($(wildcard .venv/lib/python3*/site-packages/nvidia),)
$(info .venv has torch with CUDA already, and CPU=1 leaves it as it is: run `make clean` first to build one without.)
endif
endif
endif

.PHONY: help demo up test slow hostile lint format arch durability bench migrate requirements clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12

demo: .venv/ready ## upload, train, certify and report through a service of its own; the report goes to demo-report/
	@$(BIN)/python -P -m radii.service.demo --out demo-report

up: .venv/ready ## start the embedded service at http://127.0.0.1:8000, data in radii-data/
	@$(BIN)/radii up

test: .venv/ready ## pass the tests, on real Postgres and Redis where they run or can be started
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

slow: .venv/ready ## pass the tests that `make test` leaves out: the same on other databases and methods (a quarter of an hour)
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder -m slow $(ARGS)

hostile: .venv/ready ## send every hostile file through a service (some 350 files, ten minutes)
	@$(BIN)/python -m pytest tests/service/api/test_hostile_files.py -m "" $(ARGS)

lint: .venv/ready arch ## style, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: .venv/ready ## bring the code into its one style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

arch: .venv/ready ## the import contracts of pyproject.toml
	@$(BIN)/lint-imports

durability: .venv/ready ## prove that jobs survive (about two hours; ONLY=3: one scenario; QUICK=1: two minutes; SHIPPED=1: with the intervals of a real service; MUTATE=1: without guards)
	@PYTHONPATH=tests/support $(BIN)/python -m tests_support.durability $(if $(ONLY),--only $(ONLY)) \
		$(if $(QUICK),--quick,$(if $(MUTATE),--mutations,$(if $(SHIPPED),--shipped)) --out benchmarks/results/durability.jsonl)

bench: .venv/ready ## the measurements of benchmarks/, the short ones (installs the extra `bench` first)
	@echo "Installing the extra bench: adversarial-robustness-toolbox, which benchmarks/certify.py compares with, and what it needs."
	@$(INSTALL) -c constraints.txt -e '.[all,dev,bench]'
	@for script in $$(grep -l -- '"--quick"' benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script --quick || exit 1; done

migrate: .venv/ready ## bring the database of RADII_DATABASE_URL to this version's schema
	@$(BIN)/radii migrate

requirements: ## write docker/*.requirements.txt, what the images install, with hashes, by the versions of constraints.txt (needs uv)
	@docker/lock.sh

clean: ## remove what the other targets made, the virtual environment included
	rm -rf .venv build *.egg-info demo-report .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.venv/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "radii needs Python 3.11 or newer; set PYTHON to one" >&2; exit 1; }
	@echo "Building .venv with $(PYTHON): downloads $(DOWNLOAD) where they are not cached, and takes one to five minutes."
	@$(if $(CPU),,echo "Most of it is CUDA. On a machine without a GPU, CPU=1 leaves it out: make $(or $(MAKECMDGOALS),demo) CPU=1")
	@$(if $(UV),$(UV) venv --quiet --seed --allow-existing --python "$$(command -v $(PYTHON))" .venv,$(PYTHON) -m venv .venv)
	@$(INSTALL) -c constraints.txt -e '.[all,dev]'
	@$(INSTALL) -c constraints.txt --no-deps imagecorruptions-imaug
	@touch $@
