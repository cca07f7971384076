"""The bundles' metadata against MONAI's own schema, which lies beside the real cohorts."""

from __future__ import annotations

import shutil

import pytest
from monai.bundle import verify_metadata


@pytest.mark.parametrize("name", ["cxr_alpha_gan", "hybrid_record_synthesis"])
def test_metadata_fits_monais_schema(name, repository, real_data, tmp_path):
    found = list((real_data.parent / "schema").glob("meta_schema_*.json"))
    if not found:
        pytest.skip("MONAI's metadata schema is not beside the real cohorts")
    local = tmp_path / "schema.json"  # an existing file is not downloaded again
    shutil.copy(found[0], local)
    meta_file = str(repository / "bundles" / name / "configs" / "metadata.json")
    verify_metadata(meta_file=meta_file, filepath=str(local))
