"""Write the test cohorts of the supplementation study on NIH: patients of a second sample, and children elsewhere.

    python benchmarks/supplementation_nih.py --data ../shared/data --cohort runs/nih_gaussian/prepared \
        --out runs/supplementation/nih

Images are linked, not copied. Patients of ``nih1000_64`` who are in the first sample too are left out. Of the children
of ``kermany_pool`` only "No Finding" is known: normal or pneumonia.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from monai_hybridsynth.data import RecordSchema

LABELS = "Finding_Labels"


def write_cohort(folder: Path, table: pd.DataFrame, images: Path, schema: RecordSchema) -> None:
    """Write rows with patients and findings, the images linked."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "images").exists():
        (folder / "images").symlink_to(images.resolve())
    names = ["image", "patient_id", LABELS]
    table[names].to_csv(folder / "records.csv", index=False)
    RecordSchema([schema[name] for name in names], schema.image).save(folder / "schema.json")
    print(f"{folder}: {len(table)} records of {table['patient_id'].nunique()} patients")


def main() -> None:
    """Write both cohorts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cohort folders")
    parser.add_argument("--cohort", type=Path, required=True, help="the prepared NIH sample, with train and holdout")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    schema = RecordSchema.load(options.cohort / "train" / "schema.json")
    second = options.data / "nih1000_64"
    shared = (second / "shared_patients.txt").read_text().split()
    table = pd.read_csv(second / "records.csv", dtype={"patient_id": str}).rename(columns={"Finding Labels": LABELS})
    write_cohort(options.out / "second", table[~table["patient_id"].isin(shared)], second / "images", schema)
    children = options.data / "kermany_pool"
    table = pd.read_csv(children / "records.csv", dtype={"patient_id": str})
    table[LABELS] = table["label"].map({"NORMAL": "No Finding", "PNEUMONIA": "Pneumonia"})
    write_cohort(options.out / "kermany", table, children / "images", schema)


if __name__ == "__main__":
    main()
