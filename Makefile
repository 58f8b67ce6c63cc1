# `make` lists the targets. Needs make and one Python from 3.11 to 3.14; everything else goes into $(VENV).
# Works with GNU make 3.81 (macOS) and later.
#
#   make test PYTHON=python3.12                     with another Python ($(VENV) is made again)
#   make test PYTHON=python3.11 VENV=.venv-3.11     beside the first one
#   make test ARGS="-k renew -x"                    with arguments for pytest
#   make test-all IGNORED="promises/test_year.py"        without these files

PYTHON ?=
VENV ?= .venv
WORKERS ?= auto
ARGS ?=
IGNORED ?=
UPGRADE ?=

SHELL := /bin/sh
BIN := $(VENV)/bin
STAMP := $(VENV)/.patrol-setup
NODE := sandbox/node
unexport CDPATH PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONDONTWRITEBYTECODE

# Names prove nothing (a pyenv shim can be on PATH and exit 127), so every candidate is run. It has to print its version
# and the interpreter behind it: an activated .venv must not be asked to make itself again.
PROBE := import sys, venv, ensurepip; v = sys.version_info[:3]; print("%d.%d.%d" % v, sys._base_executable); sys.exit(not (3, 11) <= v[:2] <= (3, 14))
VERSIONS := 3.13 3.14 3.12 3.11
CANDIDATES := $(VERSIONS:%=python%) python3 $(VERSIONS:%="$${PYENV_ROOT:-$${HOME:-}/.pyenv}"/versions/%.*/bin/python) /usr/bin/python3
FIND_PYTHON := \
  probe() { "$$1" -c '$(PROBE)' 2>/dev/null; }; \
  find_python() { \
    if [ -n "$(PYTHON)" ]; then \
      probe "$(PYTHON)" && return; \
      echo "PYTHON=$(PYTHON) does not run, or is not Python 3.11 to 3.14 with venv and ensurepip." >&2; return 2; \
    fi; \
    for candidate in $(CANDIDATES); do found=$$(probe "$$candidate") && echo "$$found" && return; done; \
    echo "No Python from 3.11 to 3.14 was found that runs and has venv and ensurepip (Debian, Ubuntu: install python3-venv)." >&2; \
    echo "Install one, or name one: make PYTHON=/path/to/python3.13" >&2; return 2; \
  }

# Tests, demo and sandbox reach no network and bring their own proxy, certificates and identity: the caller's stay out.
NETWORK := HTTPS_PROXY https_proxy HTTP_PROXY http_proxy ALL_PROXY all_proxy NO_PROXY no_proxy \
  REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
IDENTITY := IDENTITY_ENDPOINT IDENTITY_HEADER MSI_ENDPOINT MSI_SECRET AZURE_AUTHORITY_HOST \
  AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_TENANT_ID AZURE_USERNAME AZURE_PASSWORD \
  AZURE_FEDERATED_TOKEN_FILE AZURE_TOKEN_CREDENTIALS
ALONE := env $(NETWORK:%=-u %) $(IDENTITY:%=-u %)

# Processes: one more than cores, at most four. A process that runs dry takes tests from one that does not.
PYTEST := $(ALONE) $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses=4 --dist=worksteal
QUICK := not exhaustive and not chaos

# What infra/ deploys, and how: built here, for this Python.
DOCTOR := --profile deploy --hosting-plan flex-consumption --target-python 3.13 --deployment-mode local-prebuilt
PIP_INSTALL := "$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
  -r requirements.txt -r requirements-dev.txt
# patrol itself, with what is there: no index is asked.
PIP_HERE := -m pip install --quiet --disable-pip-version-check --no-input --no-index --no-deps --no-build-isolation
# For tools: wheels alone, each with the hash that a file of infra/pins gives.
PIP_TOOLS := -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: --require-hashes -r
# An environment of its own for what infra/pins/$(1).txt pins; it ends a shell's command without its `;`.
TOOLS = set -eu; stamp=$$(cksum < infra/pins/$(1).txt); \
  if [ "$$(cat .venv-$(1)/.patrol-setup 2>/dev/null)" != "$$stamp" ]; then \
    echo "Installing what infra/pins/$(1).txt pins ..."; rm -rf .venv-$(1); \
    "$(BIN)/python" -m venv .venv-$(1); .venv-$(1)/bin/python $(PIP_TOOLS) infra/pins/$(1).txt; \
    echo "$$stamp" > .venv-$(1)/.patrol-setup; \
  fi
UV_COMPILE := .venv-lock/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --system-certs --no-config --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "make lock, by uv pip compile --universal --python-version 3.11 --generate-hashes" $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help setup environment node demo recording serve sandbox test test-all chaos bench check format schema infra scan audit sbom site plots package wheel lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: environment ## make .venv and install into it; every other target does this first when it is stale
	@echo "$(VENV) is ready: $$("$(BIN)/python" -V)."

# Stale: it does not run, it is not of the Python asked for, it was moved, or the requirements changed. Asked for none,
# it stays with the Python it has.
environment:
	@set -eu; $(FIND_PYTHON); \
	locked=$$(cat requirements.txt requirements-dev.txt | cksum); \
	has=$$(probe "$(BIN)/python") || has=; \
	if [ -n "$(PYTHON)" ] || [ -z "$$has" ]; then wanted=$$(find_python); else wanted=$$has; fi; \
	here=$$(cd "$(VENV)" 2>/dev/null && pwd -P) || here=; \
	stamp="$${wanted%% *} $$locked $$here"; \
	if [ "$${has%% *}" = "$${wanted%% *}" ] && [ "$$(cat "$(STAMP)" 2>/dev/null)" = "$$stamp" ]; then exit 0; fi; \
	if [ -e "$(VENV)" ] && [ ! -f "$(VENV)/pyvenv.cfg" ] && ! rmdir "$(VENV)" 2>/dev/null; then \
	  echo "VENV=$(VENV) is there and is not a virtual environment: left alone. Choose another name." >&2; exit 2; \
	fi; \
	echo "Making $(VENV) with Python $${wanted%% *}, installing what requirements.txt and requirements-dev.txt pin ..."; \
	rm -rf "$(VENV)"; \
	"$${wanted#* }" -m venv "$(VENV)"; \
	$(PIP_INSTALL) || { \
	  $(foreach name,$(NETWORK),[ -n "$${$(name):-}" ] ||) exit 1; \
	  echo "That failed. Once more, without the proxy and certificate variables of this shell ..."; \
	  env $(NETWORK:%=-u %) $(PIP_INSTALL); \
	}; \
	"$(BIN)/python" $(PIP_HERE) --editable .; \
	echo "$${wanted%% *} $$locked $$(cd "$(VENV)" && pwd -P)" > "$(STAMP)"

# Azurite and newman are Node programs. A machine without Node gets it from PyPI, into $(VENV).
node: environment ## install what the sandbox starts from npm; the targets that need it do this
	@set -eu; \
	works() { v=$$("$$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null) && [ "$$v" -ge 18 ]; }; \
	if [ ! -x "$(BIN)/node" ] && { ! works node || ! npm --version > /dev/null 2>&1; }; then \
	  echo "Installing the Node.js that infra/pins/node.txt pins into $(VENV) ..."; \
	  "$(BIN)/python" $(PIP_TOOLS) infra/pins/node.txt; \
	fi; \
	stamp=$$(cksum < $(NODE)/package-lock.json); \
	if [ "$$(cat $(NODE)/node_modules/.patrol-setup 2>/dev/null)" = "$$stamp" ]; then exit 0; fi; \
	echo "Installing what $(NODE)/package-lock.json pins ..."; \
	PATH="$(abspath $(BIN)):$$PATH"; export PATH; cd $(NODE); npm ci --silent --no-audit --no-fund; \
	echo "$$stamp" > node_modules/.patrol-setup

demo: environment ## watch patrol rotate an estate in a sandbox of Azure, and let a day pass
	@$(ALONE) $(BIN)/python -m sandbox.demo $(ARGS)

serve: environment node ## the functions on localhost, over the sandbox; for people without the Functions Core Tools
	@$(ALONE) $(BIN)/python -m sandbox.serve $(ARGS)

recording: environment ## write docs/demo.svg again: `make demo` as a moving picture
	@$(ALONE) $(BIN)/python -m sandbox.recording

sandbox: environment ## keep the sandbox up, and print the environment to use with it
	@$(ALONE) $(BIN)/python -m sandbox serve --seed demo $(ARGS)

test: environment ## run the tests that hold every promise and rule: for before each commit
	@echo "Tests on $$("$(BIN)/python" -V) ($(VENV))"
	@$(PYTEST) --what-ran -m "$(QUICK)" $(IGNORED:%=--ignore=tests/%) $(ARGS)

test-all: PACKAGE := --without-inventory
test-all: environment node package ## and the exhaustive ones; ARGS="-m exhaustive" for these alone
	@echo "All tests on $$("$(BIN)/python" -V) ($(VENV))"
	@$(PYTEST) --what-ran -m "not chaos" $(IGNORED:%=--ignore=tests/%) $(ARGS)

chaos: environment node ## run the slow tests that stop a run at every outgoing call, or draw estates at random
	@echo "Chaos tests on $$("$(BIN)/python" -V) ($(VENV))"
	@$(PYTEST) --what-ran -m chaos $(ARGS)

bench: environment node ## measure speed against the sandbox, for docs/performance.md; ARGS="calls quiet" for some rows of it
	@$(ALONE) $(BIN)/python -m sandbox.bench $(ARGS)

check: environment ## format, lint, types, contracts between folders, workflows, the docs' links and the app's files
	@echo "Format"; $(BIN)/python -m ruff format --check .
	@echo "Lint"; $(BIN)/python -m ruff check .
	@echo "Types"; $(BIN)/python -m mypy
	@echo "Contracts"; $(BIN)/lint-imports --no-logo --no-cache
	@echo "Workflows"; env PATH="$(abspath $(BIN)):$$PATH" $(BIN)/jactionlint
	@$(BIN)/zizmor --offline --no-progress --quiet .github
	@echo "Site"; $(MAKE) --no-print-directory site > /dev/null
	@echo "Functions app"; set -eu; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; mkdir "$$folder/app"; \
	cp -R .funcignore function_app.py host.json requirements.txt shared infra "$$folder/app"; \
	$(BIN)/azure-functions-doctor doctor --path "$$folder/app" $(DOCTOR) > "$$folder/said" || { cat "$$folder/said"; exit 1; }

format: environment ## bring the code into the one format, and mend what lint can
	@$(BIN)/python -m ruff check --fix-only --quiet .
	@$(BIN)/python -m ruff format .

schema: environment ## write pats.schema.json again, from the code
	@$(ALONE) $(BIN)/python -m shared.inventory.pats_yaml > pats.schema.json.new || { rm -f pats.schema.json.new; exit 1; }
	@mv pats.schema.json.new pats.schema.json; echo "Wrote pats.schema.json."

package: environment ## build the deployment package, your pats.yaml in it, into dist/patrol and dist/patrol.zip
	@"$(BIN)/python" infra/package.py --zip dist/patrol.zip $(or $(PACKAGE),$(ARGS))

wheel: environment ## build the command line as a wheel, into dist/: what pip, pipx and uvx install
	@rm -rf build; mkdir -p dist; rm -f dist/patrol-*.whl; "$(BIN)/python" -m pip wheel --quiet --no-input --no-index --no-deps --no-build-isolation --wheel-dir dist .; rm -rf build
	@ls dist/patrol-*.whl

BICEP ?= $(firstword $(wildcard ../shared/tools/bicep) bicep)
PLACE := --subscription-id 00000000-0000-4000-8000-00000000beef --tenant-id 00000000-0000-4000-8000-0000000000aa \
  --resource-group rg-patrol --location westeurope

infra: ## write what is made from the Bicep files again: azuredeploy.json and the snapshots; BICEP names the compiler
	@set -eu; export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1; \
	for file in infra/*.bicep infra/modules/*.bicep infra/params/*.bicepparam infra/events/*.bicepparam; do $(BICEP) format "$$file"; done; \
	$(BICEP) build infra/main.bicep --outfile infra/azuredeploy.json; \
	for file in infra/params/*.bicepparam infra/events/*.bicepparam; do $(BICEP) snapshot "$$file" --mode overwrite $(PLACE); done; \
	echo "Wrote infra/azuredeploy.json and the snapshots in infra/params and infra/events."

scan: environment ## look for weak settings in what is deployed (checkov and hadolint, in an environment of their own)
	@$(call TOOLS,scan); .venv-scan/bin/python -m infra.scan

audit: environment ## look for known vulnerabilities in what requirements*.txt pin; asks PyPI
	@$(call TOOLS,audit); for pins in requirements requirements-dev; do \
	  echo "$$pins.txt"; .venv-audit/bin/pip-audit --strict --disable-pip --no-deps --require-hashes --progress-spinner off -r "$$pins.txt"; done

sbom: environment ## write what the deployment package consists of: dist/patrol.cdx.json (CycloneDX)
	@$(call TOOLS,audit); mkdir -p dist; \
	.venv-audit/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --of JSON -o dist/patrol.cdx.json; echo "Wrote dist/patrol.cdx.json."

site: environment ## build docs/ as a site into dist/site; every link has to lead somewhere
	@$(call TOOLS,site); .venv-site/bin/python -m infra.site

plots: environment ## draw what `make bench` measured last: docs/performance/*.svg
	@$(call TOOLS,plots); .venv-plots/bin/python -m infra.plots

lock: ## pin requirements*.in and infra/pins/*.in again, keeping the versions that still fit; UPGRADE=1 takes the newest
	@set -eu; $(FIND_PYTHON); wanted=$$(find_python); \
	rm -rf .venv-lock; "$${wanted#* }" -m venv .venv-lock; \
	.venv-lock/bin/python $(PIP_TOOLS) infra/pins/lock.txt; \
	for name in requirements requirements-dev infra/pins/audit infra/pins/lock infra/pins/node infra/pins/plots infra/pins/scan infra/pins/site; do \
	  $(UV_COMPILE) "$$name.in" -o "$$name.txt"; echo "Wrote $$name.txt."; \
	done

clean: ## remove .venv*, caches and compiled files
	@rm -rf .venv .venv-* dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@rm -rf $(NODE)/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
