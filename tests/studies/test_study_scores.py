"""Scores, paired bootstrap and Holm's correction against a second way to get the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monai_hybridsynth.metrics import bootstrap_weights
from monai_hybridsynth.studies.supplementation.study_cells import StudyCell
from monai_hybridsynth.studies.supplementation.study_scores import StudyScores, holm, seed_weights


def holm_by_definition(p_values, level):
    """Reject the smallest p while it is at most level / (number left); return what is rejected."""
    rejected: set[int] = set()
    for place in sorted(range(len(p_values)), key=lambda at: p_values[at]):
        if p_values[place] > level / (len(p_values) - len(rejected)):
            break
        rejected.add(place)
    return rejected


def test_holm_rejects_what_its_definition_rejects():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p_values = (rng.random(6) ** 3).tolist()
        corrected = holm(p_values)
        for level in (0.01, 0.05, 0.2):
            assert {at for at, p in enumerate(corrected) if p <= level} == holm_by_definition(p_values, level)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_seed_weights_keep_the_mean_and_give_the_variance_of_a_mean_of_few_seeds():
    weights = seed_weights(3, 40_000, seed=0)
    np.testing.assert_allclose(weights.sum(1), 1)
    values = np.array([0.70, 0.74, 0.75])
    assert (weights @ values).var() == pytest.approx(values.var(ddof=1) / 3, rel=0.03)


@pytest.fixture
def filled(make_cohorts):
    """Return scores of a real and a mixed arm of two seeds, and the predictions."""
    cohorts = make_cohorts()
    scores = StudyScores(cohorts, num_replicates=40, seed=5)
    labels = cohorts.tests["internal"].labels
    rng = np.random.default_rng(1)
    predictions = {}
    for arm, percent, strength in (("real", 0, 0.5), ("mixed", 100, 2.0)):
        for seed in (0, 1):
            made = np.nan_to_num(labels) * strength + rng.normal(size=labels.shape)
            predictions[arm, seed] = made
            scores.add(StudyCell(0, arm, 100, percent, seed), {"internal": made})
    return cohorts, scores, predictions


def test_scores_are_those_of_patients_that_weigh_the_same(filled):
    cohorts, scores, predictions = filled
    test = cohorts.tests["internal"]
    places = [cohorts.findings.index(name) for name in ("noise", "none", "patch")]
    expected = np.mean(
        [[roc_auc_score(test.labels[:, at], predictions["mixed", seed][:, at]) for at in places] for seed in (0, 1)]
    )
    found = next(one for one in scores.scores() if one.arm == "mixed" and one.finding is None)
    assert found.value == pytest.approx(expected, abs=1e-9), "every patient of this cohort has two rows"
    assert found.low < found.value < found.high
    assert found.n == 60


def test_gains_are_paired_over_the_same_samples_of_patients(filled):
    cohorts, scores, predictions = filled
    test, at = cohorts.tests["internal"], cohorts.findings.index("patch")
    counts = bootstrap_weights(test.patients, 40, seed=5).astype(int)
    draws = seed_weights(2, 40, seed=6)
    replicates = []
    for draw in range(40):
        rows = np.repeat(np.arange(len(test)), counts[draw])  # the sample itself, patient by patient
        gains = [
            np.subtract(
                *(roc_auc_score(test.labels[rows, at], predictions[arm, s][rows, at]) for arm in ("mixed", "real"))
            )
            for s in (0, 1)
        ]
        replicates.append(draws[draw] @ gains)
    found = next(one for one in scores.gains() if one.finding == "patch")
    widened = (found.high - found.low) / (np.quantile(replicates, 0.975) - np.quantile(replicates, 0.025))
    assert 1 < widened < 1.06, "the interval is that of the replicates, a little wider for 60 patients"
    centred = np.abs(np.array(replicates) - np.median(replicates))
    assert found.p == pytest.approx((1 + (centred >= abs(found.value)).sum()) / 41)
    assert found.p_holm >= found.p


def test_equal_predictions_gain_nothing(make_cohorts):
    cohorts = make_cohorts()
    scores = StudyScores(cohorts, num_replicates=20)
    same = np.random.default_rng(0).normal(size=cohorts.tests["internal"].labels.shape)
    scores.add(StudyCell(0, "real", 100, 0, 0), {"internal": same})
    scores.add(StudyCell(1, "mixed", 100, 100, 0), {"internal": same})
    for gain in scores.gains():
        assert (gain.value, gain.low, gain.high, gain.p) == (0, 0, 0, 1)
    assert {gain.finding for gain in scores.gains()} == {None, "noise", "none", "patch"}


def test_labels_that_are_not_known_are_left_out(make_cohorts):
    cohorts = make_cohorts()
    test, at = cohorts.tests["internal"], cohorts.findings.index("patch")
    test.labels[::3, at] = np.nan
    predictions = np.random.default_rng(0).normal(size=test.labels.shape)
    scores = StudyScores(cohorts, num_replicates=5)
    scores.add(StudyCell(0, "real", 100, 0, 0), {"internal": predictions})
    known = ~np.isnan(test.labels[:, at])
    value = next(one.value for one in scores.scores() if one.finding == "patch")
    weights = 1 / np.array([(test.patients == patient).sum() for patient in test.patients[known]])
    assert value == pytest.approx(
        roc_auc_score(test.labels[known, at], predictions[known, at], sample_weight=weights), abs=1e-9
    )
