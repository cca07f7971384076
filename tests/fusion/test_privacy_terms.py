"""When an epsilon may be stated, and what is said beside it."""

from __future__ import annotations

import pytest

from monai_hybridsynth.fusion.privacy_terms import PrivacyTerms

GOOD = {"epsilon": 3.0, "delta": 1e-5, "public_schema": True, "encoder_is_public": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": None}, "epsilon is None"),
        ({"public_schema": False}, "then set public_schema=True"),
        ({"encoder_is_public": False}, "set encoder_is_public=True"),
        ({"delta": 0.02}, "delta is 0.02 for 50 patients"),
    ],
)
def test_what_forbids_an_epsilon(change, message):
    with pytest.raises(ValueError, match=message):
        PrivacyTerms(**(GOOD | change)).check(num_patients=50, has_latents=True)


def test_a_table_without_images_needs_no_public_encoder():
    terms = PrivacyTerms(**(GOOD | {"encoder_is_public": False}))
    terms.check(num_patients=50, has_latents=False)
    assert "encoder" not in terms.statement("noise", has_latents=False)


def test_the_statement_names_the_unit_the_mechanism_and_what_is_public():
    stated = PrivacyTerms(**GOOD).statement("noise", has_latents=True)
    assert (stated["epsilon"], stated["delta"], stated["mechanism"]) == (3.0, 1e-5, "noise")
    assert stated["unit"].startswith("one patient")
    assert any(part.startswith("encoder") for part in stated["assumed_public"])


@pytest.mark.parametrize(
    ("change", "reason"), [({"noise_seed": 0}, "fixed seed"), ({"epsilon": float("inf")}, "without noise")]
)
def test_without_secret_noise_nothing_is_stated(change, reason):
    stated = PrivacyTerms(**(GOOD | change)).statement("noise", has_latents=True)
    assert stated["epsilon"] is None
    assert stated["delta"] is None
    assert reason in stated["why_no_epsilon"]
