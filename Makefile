# Everything a developer or CI does. Needs make and python3 (3.11 or later) with venv, nothing else.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
# What runs, without the tools.
RUNTIME := $(VENV)/.runtime
# With pip's bars where somebody looks, in a few lines elsewhere.
PIP   := $(BIN)/python -m pip install --disable-pip-version-check $(shell [ -t 2 ] || echo --quiet)
# pytest's own options: make test ARGS="-k lines"
ARGS  ?=

.DEFAULT_GOAL := help
.PHONY: help install check lint types imports generated generate test test-quick reference helm format lock docs demo crash crash-workers crash-kafka crash-instances chaos-kafka flink grafana-schemas follow soak bench clean

help: ## say what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

install: $(STAMP) ## make .venv with Penstock and its tools

# A .venv that stands is kept.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$$python; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "make: Penstock needs python3 (3.11 or later) with venv; on Debian: apt install python3-venv" >&2; \
	  exit 1; \
	fi; \
	echo "$$found -m venv $(VENV)"; \
	$$found -m venv $(VENV)

# Both again whenever the dependencies change. Who has the tools has what runs.
$(RUNTIME): pyproject.toml requirements/runtime.txt | $(BIN)/python
	@echo "installing Penstock and what it needs into $(VENV)"
	$(PIP) --require-hashes --requirement requirements/runtime.txt
	$(PIP) --no-deps --editable .
	@touch $@

$(STAMP): pyproject.toml requirements/dev.txt | $(BIN)/python
	@echo "installing Penstock, what it needs and the tools of its developers into $(VENV)"
	$(PIP) --require-hashes --requirement requirements/dev.txt
	$(PIP) --no-deps --editable .
	@touch $(RUNTIME) $@

# Every version with its hashes, for each Python and system: what runs, the image, the tools, the manual. The first is the
# one that the others follow. Needs the network; ARGS="--upgrade" for newer ones, "--upgrade-package NAME" for one.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
           --custom-compile-command "make lock" pyproject.toml

lock: install ## write requirements/*.txt anew, from pyproject.toml
	$(PIP) 'uv>=0.9,<1'
	$(COMPILE) --extra dev --output-file requirements/dev.txt $(ARGS)
	$(COMPILE) --output-file requirements/runtime.txt --constraints requirements/dev.txt
	$(COMPILE) --extra all --output-file requirements/image.txt --constraints requirements/dev.txt
	$(COMPILE) --extra docs --output-file requirements/docs.txt --constraints requirements/dev.txt

# The manual's links lead also to files beside it, so the site is made of the repository's shape.
docs: $(RUNTIME) ## the manual as a site with search, in build/site
	$(PIP) --require-hashes --requirement requirements/docs.txt
	rm -rf build/manual build/site
	mkdir -p build/manual/dashboards
	ln -s $(addprefix $(CURDIR)/,README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs examples deploy) build/manual
	ln -s $(CURDIR)/dashboards/generated build/manual/dashboards
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@! grep -rElm1 '<(script|link|img)[^>]+(src|href)="(https?:)?//' build/site --include='*.html' || \
	  { echo "make: these pages fetch something from elsewhere" >&2; exit 1; }
	@echo "build/site/index.html; with search: python3 -m http.server -d build/site"

check: lint types imports generated test ## all that CI checks

lint: install ## style and format
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .

types: install ## mypy, strict
	$(BIN)/mypy

imports: install ## who may import whom
	$(BIN)/lint-imports --no-cache

generated: install ## generated files are what their sources say
	$(BIN)/python -m exporter.catalogue.docs --check
	$(BIN)/penstock dashboards check

generate: install ## write the generated files anew
	$(BIN)/python -m exporter.catalogue.docs
	$(BIN)/python -m tests.docs.test_site
	$(BIN)/penstock dashboards build

test: install ## the tests; as root on Debian it installs the programs that they need, else those tests are skipped
	@.ci/programs
	$(BIN)/python -m pytest $(ARGS)

# Folders and files whose tests start processes of their own, and those that take seconds for few tests.
STARTING := end_to_end simulation docs contracts engine/workers engine/instances engine/log/kafka \
            engine/log/local/test_killed.py penstock/demo penstock/test_extras.py penstock/test_import.py \
            $(addprefix penstock/cli/test_,run.py new.py flow_control.py back_pressure.py completion.py)
LONG := engine/exporting/test_jsonl_faults.py engine/log/test_log_properties.py engine/log/local/test_storage.py \
        engine/log/local/test_inspection.py engine/sources/test_packed_lines.py exporter/test_memory.py \
        exporter/gateway/test_retry_after.py penstock/simulation/test_documentation.py engine/flow/test_plant.py \
        $(addprefix engine/backpressure/test_,hindsight.py duty_cycles.py in_engine.py) engine/flow/test_hammer.py \
        exporter/test_crowd.py exporter/otlp/test_tracer.py

test-quick: install ## the tests that need no other program and are soon over: many wait, so four at a time
	HYPOTHESIS_PROFILE=quick OPENAPI_EXAMPLES=5 $(BIN)/python -m pytest -n 4 -m "not real" -k "not two-workers" $(addprefix --ignore tests/,$(STARTING) $(LONG)) $(ARGS)

reference: .reference/classes ## fetch and compile the libraries that the limiters are compared with (Java 17, Maven)

.reference/classes: $(shell find tests/support/reference -name '*.java' -o -name pom.xml)
	mvn -q -B -f tests/support/reference/pom.xml dependency:copy-dependencies \
	  -DoutputDirectory=$(CURDIR)/.reference/lib -DincludeScope=runtime
	javac -cp '.reference/lib/*' -d $@ $(filter %.java,$^)
	@touch $@

# Fetched and built with Go, once. The schemas are as large as all other tools together, so they are no part of these.
.helm/helm:
	GOBIN=$(CURDIR)/.helm go install helm.sh/helm/v3/cmd/helm@v3.22.0

helm: install .helm/helm ## fetch Helm and the schemas of Kubernetes, which deploy/ is held against (Go)
	$(PIP) 'kubernetes-validate>=1.37,<2'

format: install ## put the format right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(RUNTIME) ## a month of flights through throttling and back
	$(BIN)/penstock demo $(ARGS)

crash: install ## fifty rounds of kill -9 (CRASH_ROUNDS=50, TEST_SEED=… for the same again)
	CRASH_ROUNDS=$${CRASH_ROUNDS:-50} $(BIN)/python -m pytest -s tests/end_to_end/test_flights.py -k kill_9 $(ARGS)

crash-workers: install ## the same of random workers and of their parent, over two workers
	CRASH_ROUNDS=$${CRASH_ROUNDS:-50} $(BIN)/python -m pytest -s tests/end_to_end/test_workers.py \
	  -k "kill_9_of_workers or nor_with_two_sources" $(ARGS)

follow: install ## 200 kills of who follows a log while it is rotated in eight ways (FOLLOW_ROUNDS=200, TEST_SEED=…)
	FOLLOW_ROUNDS=$${FOLLOW_ROUNDS:-200} $(BIN)/python -m pytest -s tests/end_to_end/test_follow_rotations.py $(ARGS)

crash-kafka: install ## twenty rounds of kill -9 over a log in Kafka, each time on another machine (CRASH_ROUNDS, TEST_SEED)
	CRASH_ROUNDS=$${CRASH_ROUNDS:-20} $(BIN)/python -m pytest -s tests/end_to_end/test_kafka.py -k killed_twice $(ARGS)

crash-instances: install ## twenty rounds each of kill -9, rolling restart, pause and join of instances over Kafka (CRASH_ROUNDS, TEST_SEED)
	CRASH_ROUNDS=$${CRASH_ROUNDS:-20} $(BIN)/python -m pytest -s tests/end_to_end/test_kafka_instances.py $(ARGS)

chaos-kafka: install ## brokers of a cluster of three are killed and hang while a log is written
	KAFKA_CHAOS=1 $(BIN)/python -m pytest -s tests/end_to_end/test_kafka_brokers.py $(ARGS)

flink: install ## the bridge beside real Flinks, 1.20 and 1.9, for five minutes each (Java, Maven; FLINK_SECONDS=300)
	FLINK_SECONDS=$${FLINK_SECONDS:-300} $(BIN)/python -m pytest -s tests/end_to_end/test_flink_bridge.py $(ARGS)

grafana-schemas: install ## the boards against the types of Grafana 11, 12 and 13 (node, and the network the first time)
	$(BIN)/python -m tests.dashboards.grafana_schemas

soak: install ## ten minutes at full rate, memory and disk looked at (ARGS="--minutes 3")
	$(BIN)/python -m benchmarks.soak $(ARGS)

bench: install ## every goal against its limit or peer (ARGS="--quick", "--only gate flights", "--json FILE")
	$(PIP) --editable '.[bench]'
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what was made
	rm -rf $(VENV) .reference .helm .grafana .pythons .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache dist build *.egg-info
	rm -rf examples/*/data examples/*/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
