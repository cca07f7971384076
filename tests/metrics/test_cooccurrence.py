from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.metrics import conditional_shares, cooccurrence_gap


@pytest.fixture
def findings():
    rng = np.random.default_rng(0)
    first = (rng.random((200, 3)) < 0.4).astype(float)
    first[:, 1] = np.where(rng.random(200) < 0.8, first[:, 0], first[:, 1])
    return first


def test_shares_agree_with_a_cross_table(findings):
    expected = pd.crosstab(findings[:, 0], findings[:, 2], normalize="index").loc[1.0, 1.0]
    shares = conditional_shares(findings)
    assert shares[0, 2] == pytest.approx(expected)
    assert np.allclose(np.diag(shares), 1)
    counts = np.random.default_rng(1).integers(0, 3, 200)
    assert np.allclose(conditional_shares(findings, counts), conditional_shares(np.repeat(findings, counts, axis=0)))


def test_unknown_findings_do_not_enter_their_pairs(findings):
    hidden = findings.copy()
    hidden[:50, 2] = np.nan
    assert conditional_shares(hidden)[0, 2] == pytest.approx(conditional_shares(findings[50:])[0, 2])
    assert conditional_shares(hidden)[0, 1] == pytest.approx(conditional_shares(findings)[0, 1])


def test_broken_pairs_and_dropped_findings_make_a_gap(findings):
    assert cooccurrence_gap(findings, findings) == 0
    broken = findings.copy()
    broken[:, 0] = np.roll(broken[:, 0], 7)
    dropped = findings.copy()
    dropped[:, 0] = 0
    assert cooccurrence_gap(findings, broken) > 0.15
    assert cooccurrence_gap(findings, dropped) > 0.3
    assert np.isnan(cooccurrence_gap(np.zeros((5, 2)), np.ones((5, 2))))


def test_replicates_are_one_call(findings):
    weights = np.random.default_rng(2).random((4, 200))
    together = cooccurrence_gap(findings, 1 - findings, weights, weights)
    alone = [float(cooccurrence_gap(findings, 1 - findings, row, row)) for row in weights]
    assert together == pytest.approx(alone)
