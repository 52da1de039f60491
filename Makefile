# make demo   a month at KosterNET in under a minute, on servers inside the process
# make test   the whole suite: lint, types, tests against a private Dovecot
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2

.PHONY: help setup setup-test demo test lint golden bench clean

help:
	@sed -n 's/^# //p' Makefile

setup: .venv/ready
setup-test: .venv/ready-test

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mailbot needs Python 3.11 or later: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || deploy/need python3-venv "the venv module of Python" && $(PYTHON) -m venv .venv

.venv/ready: requirements.lock .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/ready-test: requirements-test.lock .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@ .venv/ready

demo: setup
	$(BIN)/python run.py demo

lint: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	@test -x /usr/sbin/dovecot || deploy/need "dovecot-imapd dovecot-lmtpd" "a private Dovecot for the tests"
	@command -v openssl >/dev/null || deploy/need openssl "openssl, for the tests' certificates"
	@command -v chromium >/dev/null || deploy/need "chromium fonts-dejavu-core" "chromium, to look at letters" || true
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

golden: setup-test
	PYTHONPATH=. $(BIN)/python tests/golden.py

# make bench  how fast and how small, beside other ways in the same run: some seven minutes (docs/performance.md)
bench: setup-test
	$(BIN)/python bench/register.py $(BENCH_CLIENTS)
	$(BIN)/python bench/reading.py
	$(BIN)/python bench/latency.py
	$(BIN)/python bench/idle.py
	$(BIN)/python bench/backlog.py $(BENCH_BACKLOG)

clean:
	rm -rf .venv demo-out .pytest_cache .mypy_cache .ruff_cache
