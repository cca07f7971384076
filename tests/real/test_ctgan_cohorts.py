"""CTGAN on the columns of real cohorts: missing and censored values, few patients, many slices of one patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.fusion import CTGANSynthesizer, IndependentSynthesizer
from monai_hybridsynth.workflows.release_audit import audit_release

COHORTS = ("nih_cxr14_sample", "hannover_covid", "ct_ich")
SHORT = {"steps": 20, "batch_size": 60, "generator_dim": [32], "discriminator_dim": [32], "max_clusters": 3}


def latent_table(cohort, *, width: int = 16) -> pd.DataFrame:
    """Return the cohort's columns beside latents drawn at random."""
    rng = np.random.default_rng(0)
    names = [cohort.schema.group_name, *cohort.schema.feature_names]
    latents = rng.normal(size=(len(cohort), width)).astype(np.float32)
    columns = pd.DataFrame(latents, columns=[f"latent_{number:03d}" for number in range(width)])
    return pd.concat([cohort.table[names].reset_index(drop=True), columns], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", COHORTS)
def test_a_real_table_comes_back_with_its_columns_and_no_patient(name, real_data, tmp_path):
    cohort = read_cohort(real_data / name)
    table = latent_table(cohort)
    for made in (IndependentSynthesizer(), CTGANSynthesizer("tuned", **SHORT, progress=False)):
        records = made.fit(table, cohort.schema, seed=0).sample(300, seed=1)
        expected = table.drop(columns=cohort.schema.group_name)
        assert records.dtypes.equals(expected.dtypes)
        parsed = cohort.schema.parse(records[cohort.schema.feature_names])
        pd.testing.assert_frame_equal(parsed, records[cohort.schema.feature_names])
        for column in cohort.schema.feature_names:
            assert not records[column].isna().any() or table[column].isna().any()
        folder = made.save(tmp_path / type(made).__name__)
        records.drop(columns=[n for n in records if n.startswith("latent_")]).to_csv(
            folder / "records.csv", index=False
        )
        table.to_parquet(tmp_path / "latents.parquet")
        for source in (real_data / name, tmp_path / "latents.parquet"):
            assert [str(finding) for finding in audit_release(folder, against=source) if finding.counts] == []


def test_a_real_row_can_be_fixed(real_data):
    """Censored, missing and mixed values of real patients as conditions, a row each."""
    cohort = read_cohort(real_data / "hannover_covid")
    table = latent_table(cohort)
    made = IndependentSynthesizer(minimum_patients=2).fit(table, cohort.schema, seed=0)
    known = made.layout_.encoder.unflatten(made.layout_.encoder.flatten(table))
    records = made.sample(len(known), conditions=known, seed=0)
    pd.testing.assert_frame_equal(records[known.columns], known)
    assert np.isinf(known.select_dtypes("number").to_numpy(dtype=float, na_value=0.0)).any()


def test_a_source_file_left_in_a_release_is_found(real_data, tmp_path):
    """A name of each real cohort, where it may slip in."""
    for name in COHORTS:
        cohort = read_cohort(real_data / name)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.log").write_text(f"skipped {cohort.image_paths[5].name}\n", encoding="utf-8")
        assert "file names of the cohort" in "\n".join(map(str, audit_release(folder, against=real_data / name)))
