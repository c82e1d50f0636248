# Every target sets up what it needs in .venv, by itself, and can be run again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint gpu client serve docs reference bench laws peers anytime best-response soak abuse fleet screenshots system clean help

help:
	@echo "make demo   tune a real job on digits, transfer it to width 1024, check it there, write a report"
	@echo "make test   run every test"
	@echo "make serve  the service and one local worker, on http://127.0.0.1:8000"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make client write the blocking client from the asynchronous one (windtunnel/client/_async)"
	@echo "make docs   the documentation as a static site, in site/"
	@echo "make reference  the parts of the documentation that the code knows itself: docs/reference/openapi.md and others"
	@echo "make bench  side-by-side measurements, written to docs/benchmarks.md"
	@echo "make laws   scaling laws on real runs, and two ways to the critical batch size (goes on where it stopped)"
	@echo "make peers  hypergradients beside those of other libraries, in an environment of their own (7 minutes)"
	@echo "make best-response  the last part of bench: regularisers by one run beside searches (half an hour without stored rows)"
	@echo "make soak   ten minutes of a fleet whose parts are killed at random; counts jobs lost and doubled"
	@echo "make abuse  large bodies, half-sent requests, races and more against a real server, beside a caller who behaves (a minute)"
	@echo "make screenshots  the pictures of the status page in docs/images/, from real jobs (2 minutes)"
	@echo "make fleet  rates and latencies of submitting, ringing, claiming and recovering (5 minutes)"
	@echo "make gpu    on a machine with a GPU: the tests that need one, then measurements as JSON rows in gpu.jsonl"
	@echo "make anytime  tuning beside other tuners at equal cost (hours; goes on where it stopped)"

# What it takes to run: service, workers, client.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[server,worker]'
	touch $@

# What it takes to change it. The package mup is there for its numbers, which tests assert; its own dependencies are
# plotting libraries that no test needs.
$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps mup==1.0.0
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m benchmarks.demo

# The accessibility checks of the browser tests; without npm these tests say what they miss.
AXE := tests/browser/node_modules/.installed
$(AXE): tests/browser/package-lock.json | system
	@if command -v npm >/dev/null; then cd tests/browser && npm ci --silent --no-audit --no-fund && touch node_modules/.installed; \
	else echo "make test: npm is not installed; without it the accessibility tests cannot run (apt-get install npm)"; fi

# Two processes: each takes the tests that the other has not come to. One has the first half to begin with, the other the second.
TEST_PROCESSES ?= 2
test: $(VENV)/.dev system $(AXE)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/sync_client.py --check

client: $(VENV)/.dev
	$(BIN)/python tools/sync_client.py

serve: $(VENV)/.installed
	$(BIN)/windtunnel serve

# Needs no more than the client and the generator.
$(VENV)/.docs: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

docs: $(VENV)/.docs
	$(BIN)/zensical build --clean --strict
	@echo "site/index.html is the first page; for the search, too: $(BIN)/python -m http.server --directory site 8080"

reference: $(VENV)/.installed
	$(BIN)/python -m documentation

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.chaos
	$(BIN)/python -m benchmarks.best_response

laws: $(VENV)/.installed
	$(BIN)/python -m benchmarks.laws

# Other libraries, with this project beside them. betty-ml says Python < 3.11 but runs on 3.11: nothing of it is compiled.
PEERS := benchmarks/peers/.venv
$(PEERS)/.installed: benchmarks/peers/requirements.txt pyproject.toml constraints.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(PEERS)/bin/python -m pip install --quiet -c constraints.txt -e '.[worker]' -r benchmarks/peers/requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --no-deps --ignore-requires-python betty-ml==0.2.1
	touch $@

peers: $(PEERS)/.installed
	$(PEERS)/bin/python -m benchmarks.peers

WORKERS ?= 1
anytime: $(PEERS)/.installed $(VENV)/.dev
	$(PEERS)/bin/python -m benchmarks.anytime --workers $(WORKERS)
	$(BIN)/python -m benchmarks.anytime.figure

gpu: $(VENV)/.dev
	$(BIN)/python -m pytest tests/gpu tests/hpo/test_devices.py -n 0 -q
	$(BIN)/python -m benchmarks.gpu > gpu.jsonl
	cat gpu.jsonl

best-response: $(VENV)/.installed
	$(BIN)/python -m benchmarks.best_response

# chromium, PostgreSQL, Redis, nginx and npm for the tests, where a Debian-like machine lets us install them; else the tests say what they miss.
system:
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing="$$missing postgresql"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v nginx >/dev/null || test -x /usr/sbin/nginx || missing="$$missing nginx-light"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	  else echo "make test: not installed, and installing needs root:$$missing (apt-get install$$missing)"; fi; \
	fi

# Faults at random; SECONDS_LONG=60 for a short one, SEED=... for the same faults again.
SECONDS_LONG ?= 600
soak: $(VENV)/.dev system
	$(BIN)/python -m benchmarks.soak --seconds $(SECONDS_LONG) $(if $(SEED),--seed $(SEED))

abuse: $(VENV)/.dev
	$(BIN)/python -m benchmarks.abuse

fleet: $(VENV)/.dev system
	$(BIN)/python -m benchmarks.fleet

screenshots: $(VENV)/.dev system
	$(BIN)/python -m benchmarks.screenshots

clean:
	rm -rf $(VENV) $(PEERS) tests/browser/node_modules demo site .cache
