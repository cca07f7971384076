"""Draw the README's picture: ``python assets/demo_picture.py runs/demo/synthetic assets/demo.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from monai_hybridsynth.data import Cohort, read_cohort

EDGE, GAP, LINE = 168, 12, 17  # pixels: image, space between images, line of text


def caption(cohort: Cohort, number: int, columns: list[str]) -> list[str]:
    """Return one record's values as lines of text."""
    lines = []
    for name in columns:
        value, entry = cohort.table[name].iloc[number], cohort.schema[name]
        text = "missing" if pd.isna(value) else f"{value:.3g}" if entry.is_numeric else str(value)
        unit = "" if entry.unit is None or pd.isna(value) else " years" if entry.unit == "a" else f" {entry.unit}"
        lines.append(f"{name.replace('_', ' ')}: {text}{unit}")
    return lines


def draw(cohort: Cohort, columns: list[str], *, count: int, per_row: int) -> Image.Image:
    """Return the first ``count`` records of a cohort in rows, each image above its values."""
    height = EDGE + GAP // 2 + LINE * len(columns) + GAP
    sheet = Image.new("L", (per_row * (EDGE + GAP) + GAP, -(-count // per_row) * height + GAP), color=255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for number in range(count):
        left, top = GAP + number % per_row * (EDGE + GAP), GAP + number // per_row * height
        with Image.open(cohort.image_paths[number]) as image:
            sheet.paste(image.convert("L").resize((EDGE, EDGE), Image.Resampling.BICUBIC), (left, top))
        for row, line in enumerate(caption(cohort, number, columns)):
            pen.text((left, top + EDGE + GAP // 2 + LINE * row), line, fill=0, font=font)
    return sheet


def main() -> None:
    """Read the arguments and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--columns", nargs="+", default=["sex", "age", "view", "opacity_side", "device", "outcome"])
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--per-row", type=int, default=5)
    arguments = parser.parse_args()
    cohort = read_cohort(arguments.synthetic)
    sheet = draw(cohort, arguments.columns, count=arguments.count, per_row=arguments.per_row)
    sheet.save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
