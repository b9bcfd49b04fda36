# make demo    install into .venv if need be, run the whole system on real text, write report.html
# make test    install if need be, run the test suite (but for the faults, which are a command of their own)
# make lint    style and types
# make faults  damage files, kill processes, fill disks; print what came of each as a table
# make flink-test  build the same corpus on every engine, on a Flink cluster of this machine among them, and compare the bytes
# make dataflow-check  make the Dataflow job of every stage without a cloud account: does its size stay with many files?
# make evaluation-check  build, train and evaluate the demo on all sets of $GLAM_EVAL, 200 examples each; contamination counted
# make pod-check  compile the paper's models for their TPU slices (minutes, 5 GB): does a step fit?
# make bench   install the peers if need be, measure speed and memory beside them, print one table (GLAM_CORPUS: your text)
# make lock    resolve the locked set of packages again
.PHONY: demo test lint faults flink-test dataflow-check evaluation-check pod-check bench lock clean
.DELETE_ON_ERROR:

VENV := .venv
STORE ?= store
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
FAULTS := tests/faults/test_faults.py::test_a_fault_ends_as_it_should

demo: $(READY)
	$(VENV)/bin/glam demo --store $(STORE)

test: $(READY_DEV)
	$(VENV)/bin/python -m pytest --quiet --numprocesses 2 --dist loadfile --deselect $(FAULTS)

lint: $(READY_DEV)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

pod-check: $(READY_DEV)
	$(VENV)/bin/glam compile --model 64B/64E --topology v4:8x8x16 --limit 24
	$(VENV)/bin/glam compile configs/training/glam_1p7b_64e.toml --topology v4:4x4x8 --limit 24

evaluation-check: $(READY_DEV)
	test -d "$(GLAM_EVAL)" || { echo "GLAM_EVAL: give the folder of the evaluation sets" >&2; exit 1; }
	$(VENV)/bin/glam build configs/demo.toml --store $(STORE) --set decontaminate.sets_file=evaluation/sets.toml --set decontaminate.folder=$(GLAM_EVAL)
	$(VENV)/bin/glam train configs/training/demo.toml --store $(STORE) --run $(STORE)/evaluation-check
	$(VENV)/bin/glam evaluate $(STORE)/evaluation-check --store $(STORE) --tasks domains,all --data $(GLAM_EVAL) --limit 200

faults: $(READY_DEV)
	$(VENV)/bin/python -m tests.faults

flink-test: $(READY_DEV)
	$(VENV)/bin/python -m tests.engines.compare

dataflow-check: $(READY_DEV)
	GLAM_EVERY_JOB=1 $(VENV)/bin/python -m pytest --quiet -rA tests/engines/test_dataflow.py tests/engines/test_dataflow_build.py

$(READY): pyproject.toml requirements.lock scripts/install.sh
	scripts/install.sh $(VENV)

$(READY_DEV): $(READY) requirements-dev.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	touch $@

$(VENV)/.ready-bench: $(READY_DEV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@

bench: $(VENV)/.ready-bench
	$(VENV)/bin/python benchmarks/all.py

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-strip-extras --quiet --custom-compile-command "make lock" --extra demo

lock: $(READY)
	$(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/$(LOCK) --upgrade --output-file requirements.lock
	$(VENV)/bin/$(LOCK) --extra dev --constraints requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) build dist
