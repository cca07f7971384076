"""Real cohorts through the whole pipeline, with small untrained networks: the way, not the quality."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.fusion import IndependentSynthesizer
from monai_hybridsynth.networks import AlphaGanEncoder, AlphaGanGenerator
from monai_hybridsynth.workflows import (
    CohortImages,
    SynthesizerTraining,
    prepare_cohort,
    synthesise_cohort,
)
from monai_hybridsynth.workflows.release_audit import audit_release

COHORTS = {
    "hannover_covid": (["icu_admission_offset"], None),
    "ct_ich": (["any_haemorrhage=No_Hemorrhage:equals:0"], "head_ct"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COHORTS)
def test_a_real_cohort_becomes_a_synthetic_one_that_holds_no_patient(name, real_data, tmp_path):
    targets, modality = COHORTS[name]
    prepare_cohort(real_data / name, tmp_path / "prepared", targets=targets, modality=modality)
    cohort = read_cohort(tmp_path / "prepared" / "train")
    torch.manual_seed(0)
    networks = {"spatial_dims": 2, "spatial_size": 32, "latent_dim": 8, "channels": 4}
    encoder, generator = AlphaGanEncoder(in_channels=1, **networks), AlphaGanGenerator(out_channels=1, **networks)
    run = tmp_path / "run"
    images = CohortImages(cohort, spatial_size=32)
    SynthesizerTraining(images, encoder, IndependentSynthesizer(), run / "synthesizer", seed=0).run()
    synthesise_cohort(run / "synthesizer", generator, cohort.schema, run / "synthetic", num_records=60, seed=0)

    synthetic = read_cohort(run / "synthetic")
    assert len(synthetic) == 60
    assert list(synthetic.table.columns) == ["image", *cohort.schema.feature_names]
    assert synthetic.table.dtypes.drop("image").equals(cohort.table[cohort.schema.feature_names].dtypes)
    assert all(np.asarray(Image.open(path)).shape == (32, 32) for path in synthetic.image_paths)
    assert json.loads((run / "synthetic" / "manifest.json").read_text())["synthetic"] is True
    findings = audit_release(run, against=tmp_path / "prepared" / "train")
    assert [str(finding) for finding in findings if finding.counts] == []
