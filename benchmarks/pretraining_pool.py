"""Assemble the image pool on which a shipped alphaGAN is trained: public images and phantoms in one cohort folder.

python benchmarks/pretraining_pool.py --source mednist --label CXR --exclude twins_of_cohorts.csv --phantom 1500 \
    --out POOL
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pandas as pd
from PIL import Image

from monai_hybridsynth.data import ImageSettings, RecordField, RecordSchema
from monai_hybridsynth.data.chest_phantom import write_phantom_cohort


def main() -> None:
    """Write the pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="cohort folder with a `label` column")
    parser.add_argument("--label", required=True, help="value of `label` to take")
    parser.add_argument("--exclude", type=Path, help="CSV with a column `image`: images to leave out")
    parser.add_argument("--phantom", type=int, default=0, help="number of phantom chests to add")
    parser.add_argument("--spatial-size", type=int, default=64)
    parser.add_argument("--modality", default="cxr")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    rows = pd.read_csv(options.source / "records.csv", dtype=str)
    excluded = set(pd.read_csv(options.exclude)["image"]) if options.exclude else set()
    names = [name for name in rows.loc[rows["label"] == options.label, "image"] if name not in excluded]
    (options.out / "images").mkdir(parents=True, exist_ok=True)
    kept = []
    for name in names:
        with Image.open(options.source / name) as image:
            low, high = image.convert("L").getextrema()
        if high - low < 10:  # constant black images teach nothing
            continue
        kept.append(f"images/{Path(name).name}")
        shutil.copyfile(options.source / name, options.out / kept[-1])
    print(
        f"{len(kept)} images of {options.source}, {len(excluded)} excluded by list, {len(names) - len(kept)} constant"
    )
    if options.phantom:
        phantom = write_phantom_cohort(
            options.out / "phantom", options.phantom, seed=2308, spatial_size=options.spatial_size
        )
        table = pd.read_csv(phantom / "records.csv", dtype=str)
        kept += [f"phantom/{name}" for name in table["image"]]
    pd.DataFrame({"image": kept}).to_csv(options.out / "records.csv", index=False)
    settings = ImageSettings.for_modality(options.modality)
    field = RecordField(name="image", type="string", kind="free_text", role="image", reason="path of the image")
    RecordSchema([field], image=settings).save(options.out / "schema.json")


if __name__ == "__main__":
    main()
