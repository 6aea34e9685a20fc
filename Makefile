# Two commands do everything: `make run` and `make test`.
.PHONY: run test check lint types bench lock screenshots clean-venv

PYTHON := .venv/bin/python
PORT ?= 8501

run: .venv/run-ready
	$(PYTHON) -m streamlit run Home.py --server.port $(PORT)

test: .venv/dev-ready
	sh tests/install_system.sh
	$(MAKE) --no-print-directory lint types
	$(PYTHON) -m pytest

check: lint types

lint: .venv/dev-ready
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: .venv/dev-ready
	$(PYTHON) -m mypy

bench: .venv/dev-ready
	$(PYTHON) -m benchmarks $(NAME)

# What the README shows, as the end-to-end test sees it.
screenshots: .venv/dev-ready
	$(PYTHON) -m pytest -n 0 -q tests/e2e/test_first_visit.py
	mkdir -p docs/images
	cp tests/e2e/shots/anomalies.png docs/images/anomalies.png

# Pin again: universal, so that one file serves Python 3.11 to 3.13 on every platform.
lock: .venv/dev-ready
	$(PYTHON) -m uv pip compile -q --universal --python-version 3.11 --custom-compile-command "make lock" requirements.in -o requirements.txt
	$(PYTHON) -m uv pip compile -q --universal --python-version 3.11 --custom-compile-command "make lock" -c requirements.txt requirements-dev.in -o requirements-dev.txt

.venv/bin/python:
	sh deploy/make_venv.sh

.venv/run-ready: requirements.txt | .venv/bin/python
	@echo "Installing what AutoOps needs, once: about 1.7 GB on the disk, a minute or two"
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev-ready: requirements-dev.txt requirements.txt | .venv/bin/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/run-ready

clean-venv:
	rm -rf .venv
