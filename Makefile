# make demo: fetch a small model, train it on a generated set, judge it. make test, make lint: what CI runs.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: setup demo test lint clean-demo

setup: $(VENV)/dev

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit('Python 3.11, 3.12 or 3.13 is needed, this is ' + sys.version) if not (3, 11) <= sys.version_info[:2] <= (3, 13) else None"
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing what the demo needs into $(VENV), once"
	$(INSTALL) --editable ".[demo]"
	@touch $@

$(VENV)/dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing what the tests need into $(VENV), once"
	$(INSTALL) --editable ".[demo,dev]"
	@touch $@ $(VENV)/demo

demo: $(VENV)/demo
	$(PY) -m vgpt2.pipeline --config configs/demo/pipeline.yaml

clean-demo:
	rm -rf checkpoints/demo checkpoints/demo-sft checkpoints/demo-dpo checkpoints/demo-kto data/demo eval/reports/demo

test: $(VENV)/dev
	$(PY) -m vgpt2.embedded
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -q

lint: $(VENV)/dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
