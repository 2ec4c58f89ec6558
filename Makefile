# SwathPack: everything a fresh machine needs.
#
#   make demo        set-up, then frames -> stream -> images on real Sentinel-2 data; page in demo_out/
#   make test        set-up, then ruff, mypy and the fast tests, two processes at a time (JOBS=4 for more)
#   make setup       only the set-up of the demo (.venv with CPU builds, .venv/bin/swathpack, C range coder)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The demo needs no torch; tests and training do. Each set-up has its stamp, so a second call is instant.
DEMO_READY := $(VENV)/.ready-demo
TEST_READY := $(VENV)/.ready-test
CODER_SOURCES := $(wildcard edge/codec/*/*.c edge/codec/*/*.h)
TEST_EXTRAS := train,bench,geo,plan,hil,demo,dev

TORCH := torch==2.13.0
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

DATA      ?= ../shared/data
RUNS      ?= runs
BENCH_OUT ?= $(RUNS)/bench
DEMO_ARGS ?=
TEST_ARGS ?=
JOBS      ?= 2

# The first word of CC, or one of the usual names: the same rule as edge/codec/rangecoder/build.py.
need_compiler = for c in $${CC%% *} cc gcc clang; do command -v $$c >/dev/null && exit 0; done; \
	echo "make: no C compiler for the range coder (cc, gcc or clang); Debian and Ubuntu: apt install gcc" >&2; exit 1

.PHONY: help setup setup-test demo test test-quick test-all lint bench train hil fuzz exactness trt-gate clean distclean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile
	@echo "make test-quick  the same without what takes long for its breadth: for every few lines"
	@echo "make test-all    also the campaigns, and every case of every test"
	@echo "make bench       rate and quality against JPEG2000, JPEG XL and x265 on the val split of $(DATA)"
	@echo "make train       transform, entropy model, export to models/edge (resumes from $(RUNS)/)"
	@echo "make hil         standard campaign: 30 simulated days with every kind of fault; report in $(RUNS)/hil"
	@echo "make fuzz        ten minutes of coverage-guided fuzzing of every parser; FUZZ_ARGS='--seconds 60 stream' for one"
	@echo "make exactness   the same latents on every engine and number of threads"
	@echo "make trt-gate    both graphs built by NVIDIA's compiler without a GPU (TensorRT-RTX, in a folder of 0.4 GB)"
	@echo "make clean       remove what was built; make distclean: .venv too"

setup: $(DEMO_READY)
setup-test: $(TEST_READY)

$(BIN)/python:
	@$(need_compiler)
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) found; install Python 3.10 or newer, or make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1); SwathPack needs Python 3.10 or newer: make PYTHON=/path/to/python" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) -m venv failed; Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@# Old pips refuse wheels whose file name and metadata spell the version differently (fastcrc, 2026).
	@$(PIP) install --upgrade pip

$(DEMO_READY): pyproject.toml $(CODER_SOURCES) | $(BIN)/python
	@$(need_compiler)
	@echo "setting up $(VENV) for the demo ..."
	@$(PIP) install --editable '.[demo]'
	@$(BIN)/python -m swathpack.edge.codec.rangecoder.build >/dev/null
	@touch $@

$(TEST_READY): pyproject.toml $(DEMO_READY)
	@echo "setting up $(VENV) for tests and training (torch, CPU build) ..."
	@$(PIP) install '$(TORCH)+cpu' 2>/dev/null || $(PIP) install --extra-index-url $(TORCH_CPU_INDEX) '$(TORCH)'
	@$(PIP) install --editable '.[$(TEST_EXTRAS)]'
	@touch $@

demo: setup
	@$(BIN)/python -m swathpack.tools.demo $(DEMO_ARGS)

lint: setup-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --strict $(foreach part,edge codec calibration export tools hil_tests,-p swathpack.$(part))
	@$(BIN)/python -m tests.directions
	@$(BIN)/python -m tests.docstrings

# Lint and the parts of the tests side by side, as many at a time as JOBS says.
PARTS_BESIDE_LINT = $(BIN)/python -m tests.parts --jobs $(JOBS) --also 'lint=$(MAKE) --no-print-directory lint'
test: setup-test
	@$(PARTS_BESIDE_LINT) -m "not slow" $(TEST_ARGS)

test-quick: setup-test
	@$(PARTS_BESIDE_LINT) -m "not slow and not long" $(TEST_ARGS)

test-all: lint
	@$(BIN)/python -m pytest $(TEST_ARGS)

bench: setup-test
	@$(BIN)/swathpack bench $(DATA) --out $(BENCH_OUT)

train: setup-test
	@$(BIN)/python -m swathpack.codec.train_transform --data $(DATA) --out $(RUNS)/transform
	@$(BIN)/python -m swathpack.codec.train_entropy --data $(DATA) --transform $(RUNS)/transform/transform.pt --out $(RUNS)/entropy --bf16 --min-bands 9
	@$(BIN)/python -m swathpack.export.edge_model --transform $(RUNS)/transform/transform.pt --entropy $(RUNS)/entropy/entropy.pt --out $(RUNS)/edge
	@$(BIN)/python -m swathpack.codec.fit_prior --data $(DATA) --model $(RUNS)/edge --out $(RUNS)/prior.npz
	@$(BIN)/python -m swathpack.codec.reconstructions --data $(DATA) --model $(RUNS)/edge --out $(RUNS)/reconstructions
	@$(BIN)/python -m swathpack.codec.train_synthesis --examples $(RUNS)/reconstructions --transform $(RUNS)/transform/transform.pt --out $(RUNS)/synthesis --bf16
	@$(BIN)/python -m swathpack.export.edge_model --transform $(RUNS)/synthesis/transform.pt --entropy $(RUNS)/entropy/entropy.pt --prior $(RUNS)/prior.npz

hil: setup-test
	@$(BIN)/swathpack hil standard --out $(RUNS)/hil $(if $(wildcard $(DATA)/catalog.json),--data $(DATA)) $(HIL_ARGS)

fuzz: setup-test
	@$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

exactness: setup-test
	@$(BIN)/python -m swathpack.hil_tests.exactness

# TensorRT-RTX in a virtual environment of its own: large, and only a gate. `make test` runs it where it is installed.
TRT_VENV := build/trt-venv
trt-gate:
	@test -x $(TRT_VENV)/bin/python || $(PYTHON) -m venv $(TRT_VENV)
	@$(TRT_VENV)/bin/python -m pip --disable-pip-version-check --quiet install numpy onnx pytest
	@$(TRT_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps \
		tensorrt-rtx-cu13-libs==1.7.1.116 tensorrt-rtx-cu13-bindings==1.7.1.116
	@$(TRT_VENV)/bin/python -m swathpack.export.tensorrt_gate models/edge/entropy.onnx models/edge/analysis.onnx
	@$(TRT_VENV)/bin/python -m pytest -p no:cacheprovider -W ignore::DeprecationWarning tests/export/test_tensorrt_gate.py

clean:
	rm -rf build demo_out *.egg-info edge/codec/rangecoder/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f $(DEMO_READY) $(TEST_READY)
	find edge codec calibration export hil_tests tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
