"""Write the phantom cohorts of the supplementation study: two hospitals, each with training patients and others.

The second hospital has another X-ray machine (the phantom's ``south``) and older patients, hence other prevalences:
a patient is kept with probability 1 / (1 + exp((62 - age) / 6)).

    python benchmarks/supplementation_phantom.py --out runs/supplementation/phantom
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from monai_hybridsynth.data.chest_phantom import draw_images, draw_rows, phantom_schema

SIZE = 32
# folder: hospital, records, seed. "fresh" are further patients of the first hospital, for the upper control.
COHORTS = {
    "north/train": ("north", 600, 11),
    "north/holdout": ("north", 1500, 12),
    "north/fresh": ("north", 4800, 13),
    "south/train": ("south", 600, 21),
    "south/holdout": ("south", 1500, 22),
}


def hospital_rows(site: str, num_records: int, seed: int) -> pd.DataFrame:
    """Return the rows of a hospital's patients; whole patients are kept, the last one may be cut short."""
    if site == "north":
        return draw_rows(num_records, seed=seed, variant="findings")
    rows = draw_rows(5 * num_records, seed=seed, variant="findings")
    first = rows.groupby("patient_id")["age"].first().astype("float64").fillna(62.0)
    kept = np.random.default_rng(seed).random(len(first)) < 1 / (1 + np.exp((62 - first.to_numpy()) / 6))
    return rows[rows["patient_id"].isin(first.index[kept])].head(num_records).reset_index(drop=True)


def write_hospital(folder: Path, site: str, num_records: int, seed: int) -> None:
    """Write ``records.csv``, ``schema.json`` and images; the film, not the table, tells the hospital."""
    table = hospital_rows(site, num_records, seed)
    assert len(table) == num_records
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images = draw_images(table.assign(site=site), spatial_size=SIZE, seed=seed)
    for name, pixels in zip(table["image"], images, strict=True):
        Image.fromarray(pixels).save(folder / name)
    table.to_csv(folder / "records.csv", index=False)
    phantom_schema("findings").save(folder / "schema.json")


def main() -> None:
    """Write all cohorts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    for name, (site, num_records, seed) in COHORTS.items():
        write_hospital(Path(arguments.out) / name, site, num_records, seed)
        print(f"{name}: {num_records} records")


if __name__ == "__main__":
    main()
