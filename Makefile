.DEFAULT_GOAL := help
.PHONY: help install demo test stress mutants test-engines test-slow lint docs constraints

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## set up: .venv with the pinned packages, GL libraries
	@scripts/setup

demo: install ## train a very small agent and say where everything is
	.venv/bin/dreamctl run cartpole_balance --preset smoke
	@echo; echo "dreamctl is in .venv/bin: source .venv/bin/activate, then type the commands above"

test: install ## the tests (JOBS=2: two files at once)
	.venv/bin/python -m pytest $(JOBS:%=-n % --dist loadfile --no-loadscope-reorder)

stress: install ## attacks that take long: what a home outlasts (docs/reliability.md)
	@home=$$(mktemp -d) && set -x && .venv/bin/python -m benchmarks.stress $$home/queue && \
	.venv/bin/python -m benchmarks.looks $$home/looks && \
	.venv/bin/python -m benchmarks.attacks $$home/attacks && rm -r $$home

mutants: install ## bugs put in on purpose, one by one: tests must notice (ONLY=name: this one)
	.venv/bin/python -m tests.mutants $(ONLY:%=--only %)

test-engines: install ## tests on PostgreSQL, Ray and Slurm (ENGINES="ray": only these)
	@scripts/test-engines $(ENGINES)

test-slow: install ## tests that learn for minutes
	.venv/bin/python -m pytest -m slow

lint: install ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: install ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

constraints: ## write constraints.txt from what is installed in .venv
	.venv/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//' >constraints.txt
