# What a person and a pipeline call. The work is done in ci/ and by kab itself.

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing on this host and make .venv (as root, or with sudo)
	@./ci/setup.sh

demo: setup ## Two kernels, Btrfs direct writes: verdict and HTML report
	@./ci/demo.sh

test: ## Linters, then every test tier, real guests included
	@./ci/setup.sh --tests
	@./ci/check.sh

lint: setup ## Linters only
	@./ci/check.sh format lint types layers

docs: setup ## The site and the manual pages, in build/
	@./ci/docs.sh

bench: setup ## The figures of benchmarks/, as tables
	@set -e; for bench in benchmarks/[a-z]*.py; do echo "==> $$bench"; .venv/bin/python "$$bench"; done

clean: ## Remove what dead runs left behind, and what tools cached here
	@if [ -x .venv/bin/kab ]; then .venv/bin/kab clean --leaks; fi
	rm -rf var .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find harness tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
