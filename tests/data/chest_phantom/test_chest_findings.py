"""Each finding changes the film, in its own place."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.data.chest_phantom import FINDINGS

from .test_chest_drawing import drawn


@pytest.fixture(scope="module")
def healthy() -> np.ndarray:
    return drawn(16, findings="No Finding", cardiothoracic_ratio=np.nan, effusion_ml=np.nan)


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_is_seen(healthy, finding):
    changed = np.abs(drawn(16, findings=finding, cardiothoracic_ratio=np.nan, effusion_ml=np.nan) - healthy)
    assert (np.percentile(changed, 99.9, axis=(1, 2)) > 6).mean() >= 0.75


def gain(healthy: np.ndarray, finding: str) -> np.ndarray:
    return (drawn(16, findings=finding) - healthy).mean(axis=0)


def test_places():
    healthy = drawn(16, findings="No Finding")
    edema, emphysema = gain(healthy, "Edema"), gain(healthy, "Emphysema")
    assert edema[18:34, 18:46].mean() > edema[18:34, :6].mean() + 5
    assert emphysema[36:44, 12:24].mean() < -10
    hernia = gain(healthy, "Hernia")
    assert np.abs(hernia[30:46, 28:40]).mean() > 3 * np.abs(hernia[12:26, 10:24]).mean()


def test_free_air_is_darker_than_lung_outside_and_brighter_inside():
    change = drawn(16, findings="Pneumothorax") - drawn(16, findings="No Finding")
    assert np.percentile(change, 0.5, axis=(1, 2)).max() < -8
    assert np.percentile(change, 99.5, axis=(1, 2)).min() > 4


def test_several_findings_add_up(healthy):
    one, two = drawn(16, findings="Mass"), drawn(16, findings="Edema|Mass")
    assert two[:, 14:40].mean() > one[:, 14:40].mean() + 3
