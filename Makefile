# make demo | compare | test | lint | bench: each prepares .venv itself, once, and again when the pins change.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo prepare train synthesise evaluate compare test lint format bench bench-runs bench-studies

PYTHON ?= python3.11
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python

help:
	@echo "make demo    synthetic records from the embedded cohort, into runs/demo"
	@echo "make demo COHORT=<folder> TARGETS=<column,column> [MODALITY=cxr|head_ct]"
	@echo "             [SYNTHESIZER=gaussian|flow|factorised|ctgan|independent] [PRESET=tuned|paper, of ctgan]"
	@echo "             [RECORDS=1000] [SEED=0] [NAME=<run>]"
	@echo "             the same from your own cohort, into runs/<cohort>"
	@echo "make compare the same by several synthesizers, judged side by side [COMPARED=\"gaussian flow factorised ctgan\"]"
	@echo "make test | lint | bench"

# torch first and pinned: an unpinned one would bring several gigabytes of CUDA.
$(READY): setup.cfg pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -c constraints.txt torch
	$(RUN) -m pip install --quiet -c constraints.txt --editable ".[dev]"
	touch $@

# ---- demo: prepare, train, synthesise, evaluate -------------------------------------------------------------------
# Every stage can be killed: the same command goes on where it stood. A stage is passed over only when its output is
# there and was made by the same command from the same input by the same code.
COHORT ?=
TARGETS ?=
MODALITY ?=
# Presets are CTGAN's: PRESET=paper or PRESET=tuned chooses it.
PRESET ?=
SYNTHESIZER ?= $(if $(PRESET),ctgan,gaussian)
PHANTOM ?= 900
RECORDS ?= 1000
SEED ?= 0
# Folder of encoder.pt and model.pt of your own alphaGAN; the shipped ones when empty.
NETWORKS ?=
NAME ?= $(if $(COHORT),$(shell basename "$(COHORT)"),demo)

comma := ,
OUT := runs/$(NAME)
# Encoded patients and the notes of finished stages; beside the run, so that nothing of it is released by accident.
PRIVATE := runs/.private/$(NAME)
BUNDLE := bundles/hybrid_record_synthesis
CONFIG = "['$(BUNDLE)/configs/$(1).json'$(if $(filter head_ct,$(MODALITY)),$(comma)'$(BUNDLE)/configs/head_ct.json')]"
BUNDLE_RUN := $(RUN) -m monai.bundle run --bundle_root $(BUNDLE) --output_dir "$(OUT)" --seed $(SEED) \
	$(if $(NETWORKS),--networks_dir "$(NETWORKS)")

SOURCE := $(if $(COHORT),"$(COHORT)" $(if $(MODALITY),--modality $(MODALITY)),--phantom $(PHANTOM))
TARGET_OPTIONS := $(if $(TARGETS),--target "$(subst $(comma)," --target ",$(TARGETS))")
PREPARE := $(RUN) -m monai_hybridsynth prepare $(SOURCE) $(TARGET_OPTIONS) --seed $(SEED) --out "$(OUT)/prepared"
# Whoever gets the records can have the encoder too: the report makes that attack as well.
ENCODER := $(or $(NETWORKS),bundles/cxr_alpha_gan/models)/encoder$(if $(filter head_ct,$(MODALITY)),_head_ct).pt
EVALUATE := $(RUN) -m monai_hybridsynth evaluate --train "$(OUT)/prepared/train" --holdout "$(OUT)/prepared/holdout" \
	--synthetic "$(OUT)/synthetic" --encoder "$(ENCODER)" --seed $(SEED) --out "$(OUT)"

# $(call once,STAGE,WHAT IT LEAVES,COMMAND,ITS INPUT FILES AND FOLDERS)
define once
	@mkdir -p "$(PRIVATE)"; \
	key=$$( { echo '$(subst ','\'',$(3))'; find -L monai_hybridsynth/ $(4) -type f -not -name '*.pyc' -print0 | sort -z \
		| xargs -0 sha256sum; } | sha256sum); \
	if [ -e "$(2)" ] && [ "$$key" = "$$(cat "$(PRIVATE)/$(1)" 2>/dev/null)" ]; then \
		echo "== $(1): done before"; \
	else \
		echo "== $(1)"; rm -f "$(PRIVATE)/$(1)"; $(3) && echo "$$key" > "$(PRIVATE)/$(1)"; \
	fi
endef

demo: evaluate
	@echo "== $(OUT): prepared (private), synthetic, metrics.json, report/index.html"

prepare: $(READY)
	$(call once,prepare,$(OUT)/prepared,$(PREPARE),$(if $(COHORT),"$(COHORT)"))

# Training and synthesis know by themselves what they have done.
train: prepare
	@echo "== train"
	@$(BUNDLE_RUN) --config_file $(call CONFIG,train) --dataset_dir "$(OUT)/prepared/train" \
		--cache_dir "$(PRIVATE)/latents" --synthesizer "@synthesizers#$(SYNTHESIZER)" $(if $(PRESET),--preset $(PRESET)) \
		--progress $(if $(MAKE_TERMERR),True,False)

synthesise: train
	@echo "== synthesise"
	@$(BUNDLE_RUN) --config_file $(call CONFIG,inference) --num_records $(RECORDS)

evaluate: synthesise
	$(call once,evaluate,$(OUT)/metrics.json,$(EVALUATE),"$(OUT)/prepared" "$(OUT)/synthetic")

# Several synthesizers of one cohort, one run each, and one report of all.
COMPARED ?= gaussian flow factorised ctgan
RUNS := $(addprefix runs/$(NAME)_,$(COMPARED))

compare: $(READY)
	@for one in $(COMPARED); do \
		$(MAKE) --no-print-directory synthesise SYNTHESIZER=$$one NAME="$(NAME)_$$one" || exit 1; \
	done
	$(RUN) -m monai_hybridsynth evaluate --train "$(firstword $(RUNS))/prepared/train" \
		--holdout "$(firstword $(RUNS))/prepared/holdout" $(RUNS:%=--synthetic "%/synthetic") --encoder "$(ENCODER)" \
		--seed $(SEED) --out "runs/$(NAME)_compared"

# ---- the project's own checks -------------------------------------------------------------------------------------
test: $(READY)
	$(RUN) -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(READY)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# Every published table stands beside its command; this runs those commands again, on the cohorts in DATA.
DATA ?= ../shared/data
POOLS := runs/pools

$(POOLS)/chest: | $(READY)
	$(RUN) benchmarks/pretraining_pool.py --source $(DATA)/mednist --label CXR \
		--exclude $(DATA)/mednist/twins_of_cohorts.csv --phantom 1500 --out $@

$(POOLS)/head_ct: | $(READY)
	$(RUN) benchmarks/pretraining_pool.py --source $(DATA)/mednist --label HeadCT --modality head_ct --out $@

runs/peers/mediffusion: | $(READY)
	$(RUN) -m pip install --quiet --no-deps --target runs/peers mediffusion

$(VENV)/.bench: $(READY)
	$(RUN) -m pip install --quiet -c constraints.txt --editable ".[bench]"
	touch $@

# The end-to-end table is of these runs: the default, and CTGAN as tuned and as published.
NIH := COHORT=$(DATA)/nih_cxr14_sample TARGETS="View Position,Patient Gender,Finding_Labels"
HANNOVER := COHORT=$(DATA)/hannover_covid TARGETS=icu_admission_offset
HEAD_CT := COHORT=$(DATA)/ct_ich TARGETS=any_haemorrhage=No_Hemorrhage:equals:0 MODALITY=head_ct

bench-runs:
	$(MAKE) demo NAME=demo_gaussian
	$(MAKE) demo NAME=demo_tuned PRESET=tuned
	for preset in "" tuned paper; do \
		$(MAKE) demo $(NIH) PRESET=$$preset NAME=nih_$${preset:-gaussian} && \
		$(MAKE) demo $(HANNOVER) PRESET=$$preset NAME=hannover_$${preset:-gaussian} && \
		$(MAKE) demo $(HEAD_CT) PRESET=$$preset NAME=ct_$${preset:-gaussian} || exit 1; \
	done

bench-studies: bench-runs
	DATA=$(DATA) RUN=$(RUN) benchmarks/supplementation_runs.sh

# A command that fails does not keep the others from running; it is named at the end.
bench: $(VENV)/.bench bench-runs bench-studies $(POOLS)/chest $(POOLS)/head_ct runs/peers/mediffusion
	@sed -e ':a' -e '/\\$$/N; s/\\\n//; ta' benchmarks/RESULTS.md | grep '^python benchmarks/' \
		| sed -e 's# POOL # $(POOLS)/chest #; s# HEAD_CT_POOL # $(POOLS)/head_ct #; s#\.\./shared/data#$(DATA)#g' \
		| { failed=0; while read -r line; do \
			echo "== $$line"; \
			PATH="$(CURDIR)/$(VENV)/bin:$$PATH" bash -c "$$line" < /dev/null || { echo "FAILED: $$line" >&2; failed=1; }; \
		done; exit $$failed; }
