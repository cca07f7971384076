"""Margins counted with noise: exact without it, bounded per patient, and about the schema's categories only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.fusion.gaussian_mechanism import GaussianMechanism
from monai_hybridsynth.fusion.private_margins import fit_margins


class Recorder(GaussianMechanism):
    """A mechanism that keeps the sums before noise, in units of what one patient may add."""

    def __init__(self):
        super().__init__(0.5, noise_seed=0)
        self.sums: list[np.ndarray] = []

    def release(self, contributions, *, norm, share):
        self.sums.append(contributions.sum(axis=0) / norm)
        return super().release(contributions, norm=norm, share=share)


def test_without_noise_they_are_the_tables(table, public_schema):
    patients = table["patient_id"].to_numpy()
    found = fit_margins(table, public_schema, patients, GaussianMechanism(np.inf), share=1.0)
    assert found.num_patients == 150
    sex = found.layout.encoder.column("sex").flats[0]
    assert dict(zip(sex.categories, sex.shares, strict=True))["F"] == pytest.approx(
        (table["sex"] == "F").mean(), abs=0.01
    )
    crp = found.layout.encoder.column("crp").flats[1]
    assert dict(zip(crp.categories, crp.shares, strict=True))["above"] == pytest.approx(
        np.isposinf(table["crp"]).mean(), abs=0.01
    )
    assert found.layout.order == [name for name in table.columns if name != "patient_id"]


def test_a_patient_adds_no_more_than_claimed(table, public_schema):
    worst = table.iloc[[0]].assign(
        patient_id="new", age=1e9, crp=-np.inf, findings="Effusion|Mass|No Finding", view=None, images_before=10**6
    )
    sums = []
    for rows in (table, pd.concat([table, worst, worst], ignore_index=True)):
        recorder = Recorder()
        fit_margins(rows, public_schema, rows["patient_id"].to_numpy(), recorder, share=1.0)
        sums.append(recorder.sums[0])
    assert 0.9 < np.linalg.norm(sums[1] - sums[0]) <= 1 + 1e-9


def test_categories_come_from_the_schema_alone(table, public_schema):
    patients = table["patient_id"].to_numpy()
    wider = public_schema.with_fields(replace(public_schema["sex"], enum=("F", "M", "X")))
    noisy = fit_margins(table, wider, patients, GaussianMechanism(0.05, noise_seed=3), share=1.0)
    assert set(noisy.layout.encoder.column("sex").flats[0].categories) <= {"F", "M", "X", "<missing>"}
    unheard = table.assign(view="CANARYVIEW")
    text = str(fit_margins(unheard, public_schema, patients, GaussianMechanism(1.0), share=1.0).layout.to_dict())
    assert "CANARY" not in text
