"""Fixed columns show in the drawn images: phantoms against their ground truth, radiographs by probes.

python benchmarks/conditional_sampling.py --data DATA --results checkpoints/conditional_sampling.json \
    --out benchmarks/RESULTS.md --picture bundles/hybrid_record_synthesis/docs/conditional.png

Phantoms: the cardiothoracic ratio, the side of the opacity and the device are fixed in turn, the records decoded, and
the images measured by the phantom's own inverse; beside them stand phantoms drawn with the same values.
Radiographs: sex and view are fixed together, and probes trained on real training patients' images look for them.
What is measured is kept in ``--results``. The picture holds synthetic images only.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fusion_cohorts import ImageCodec, Split, public_encoder, read_split, shipped_codec
from PIL import Image, ImageDraw, ImageFont
from results_file import keep_results, write_section
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from monai_hybridsynth import fusion
from monai_hybridsynth.data import draw_images, draw_rows, measure_images
from monai_hybridsynth.fusion import latent_columns
from monai_hybridsynth.metrics import bootstrap_weights, interval, weighted_auroc
from monai_hybridsynth.workflows.copy_detector import as_pixels

SYNTHESIZERS: dict[str, Callable[..., Any]] = {
    "Gaussian": fusion.ConditionalGaussianSynthesizer,
    "flow": partial(fusion.JointFlowSynthesizer, progress=False),
    "CTGAN tuned": partial(fusion.CTGANSynthesizer, preset="tuned", progress=False),
    "independent (floor)": lambda public_encoder: fusion.IndependentSynthesizer(),
    "CTGAN factorised": partial(fusion.FactorisedCTGANSynthesizer, progress=False),
}
COHORTS = ("phantom", "nih_cxr14_sample")
RATIO, RATIOS, DRAWS = "cardiothoracic_ratio", (0.40, 0.45, 0.50, 0.55, 0.60), 100
CATEGORIES = {
    "opacity_side": ("none", "left", "right", "both"),
    "device": ("none", "pacemaker", "central_line", "tube"),
}
SEX, VIEW = ("Patient Gender", ("F", "M")), ("View Position", ("AP", "PA"))
PAIRS = [[sex, view] for sex in SEX[1] for view in VIEW[1]]
REPLICATES, FRESH_SEED, SHOWN = 1000, 77, 5
Row = dict[str, Any]


def drawn_images(synthesizer: Any, codec: ImageCodec, conditions: pd.DataFrame, *, seed: int) -> torch.Tensor:
    """Return the image of one record per row of conditions; every fixed value must have been kept."""
    records = synthesizer.sample(len(conditions), conditions=conditions, seed=seed)
    for name in conditions:
        assert (records[name].astype(object) == conditions[name].astype(object)).all(), f"{name} was not kept"
    names = latent_columns(records)
    return codec.decode(records[names].to_numpy(dtype=np.float32))


def repeated(name: str, values: Sequence[Any]) -> pd.DataFrame:
    """Return one column with every value ``DRAWS`` times."""
    return pd.DataFrame({name: [value for value in values for _ in range(DRAWS)]})


def resampled(statistic: Callable[[np.ndarray], float], groups: np.ndarray) -> list[float]:
    """Return ``statistic(weights)`` of all rows, and its 95 % bootstrap interval over groups."""
    replicates = [statistic(row) for row in bootstrap_weights(groups, REPLICATES, seed=0)]
    value = float(statistic(np.ones(len(groups))))
    return [value, *interval(value, np.array(replicates), num_groups=len(np.unique(groups)))]


def ratio_figures(asked: np.ndarray, measured: np.ndarray, groups: np.ndarray) -> Row:
    """Return bias, root mean square error, slope and correlation of measured against asked, with intervals."""
    error = measured - asked

    def covariance(weights: np.ndarray) -> np.ndarray:
        return np.cov(asked, measured, aweights=weights)

    statistics: dict[str, Callable[[np.ndarray], float]] = {
        "bias": lambda w: float(np.average(error, weights=w)),
        "rmse": lambda w: float(np.sqrt(np.average(error**2, weights=w))),
        "slope": lambda w: float(covariance(w)[0, 1] / covariance(w)[0, 0]),
        "correlation": lambda w: float(covariance(w)[0, 1] / np.sqrt(np.prod(np.diag(covariance(w))))),
    }
    return {name: resampled(statistic, groups) for name, statistic in statistics.items()}


Drawing = Callable[[pd.DataFrame], torch.Tensor]


def phantoms_drawn_so(conditions: pd.DataFrame) -> torch.Tensor:
    """Return phantoms of fresh patients, drawn with the values asked for: what a perfect synthesizer would show."""
    rows = draw_rows(DRAWS, seed=FRESH_SEED)
    rows = pd.concat([rows] * (len(conditions) // DRAWS), ignore_index=True)
    for name in conditions:
        rows[name] = conditions[name]
    return torch.from_numpy(draw_images(rows, spatial_size=64, seed=FRESH_SEED))[:, None].float() / 127.5 - 1


def phantom_row(draw: Drawing) -> Row:
    """Return how well images show the ratio, the side and the device that were asked for."""
    asked = repeated(RATIO, RATIOS)
    measured = measure_images(draw(asked).clamp(-1, 1).numpy())[RATIO].to_numpy()
    row = ratio_figures(asked[RATIO].to_numpy(), measured, np.arange(len(asked)) % DRAWS)
    row["means"] = [[float(part.mean()), float(part.std())] for part in measured.reshape(len(RATIOS), -1)]
    for column, values in CATEGORIES.items():
        conditions = repeated(column, values)
        read = measure_images(draw(conditions).clamp(-1, 1).numpy())[column]
        row[column] = float((read == conditions[column]).mean())
    return row


class Probes:
    """Predictors of sex and view, trained on real training patients' images as the evaluation embeds them."""

    def __init__(self, split: Split) -> None:
        self.embed = split.embeddings[""]
        self.scaler = StandardScaler().fit(split.train.features)
        inputs = self.scaler.transform(split.train.features)
        self.models = {
            name: LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000).fit(
                inputs, (split.train.table[name] == values[1]).to_numpy(), sample_weight=split.train.weights
            )
            for name, values in (SEX, VIEW)
        }

    def figures(self, images: torch.Tensor, table: pd.DataFrame, groups: np.ndarray) -> Row:
        """Return by column the AUC for its second value, and the share whose value the probe says."""
        with torch.no_grad():
            inputs = self.scaler.transform(self.embed(images).double().numpy())
        found: Row = {}
        for name, values in (SEX, VIEW):
            score = self.models[name].decision_function(inputs)
            truth = (table[name] == values[1]).to_numpy()
            found[f"{name} AUC"] = resampled(partial(_auroc, score, truth), groups)
            recalls = [((score > 0) == truth)[truth == side].mean() for side in (False, True)]
            found[f"{name} share"] = float(np.mean(recalls))
        return found


def _auroc(score: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    return float(weighted_auroc(score, truth, weights))


def sex_and_view() -> pd.DataFrame:
    """Return every pair of sex and view, each ``DRAWS`` times."""
    return pd.DataFrame([pair for pair in PAIRS for _ in range(DRAWS)], columns=[SEX[0], VIEW[0]])


def measured(options: argparse.Namespace) -> dict[str, Row]:
    """Return all rows, fitting what is not yet in the results."""
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for cohort in COHORTS:
        missing = [name for name in options.synthesizers if f"{cohort} {name}" not in results]
        if not missing:
            continue
        split, codec = read_split(options.data, cohort, 0, options.work), shipped_codec(cohort)
        table, schema = split.table(codec), split.train.cohort.schema
        probes = Probes(split) if cohort != "phantom" else None
        references = phantom_reference(codec) if probes is None else real_reference(split, codec, probes)
        results |= {f"{cohort} {name}": row for name, row in references.items()}
        for name in missing:
            start = time.perf_counter()
            synthesizer = SYNTHESIZERS[name](public_encoder=public_encoder(cohort)).fit(table, schema, seed=0)
            draw = partial(drawn_images, synthesizer, codec, seed=1)
            asked = sex_and_view()
            row = phantom_row(draw) if probes is None else probes.figures(draw(asked), asked, np.arange(len(asked)))
            results[f"{cohort} {name}"] = row
            print(cohort, name, f"{time.perf_counter() - start:.0f} s", row, flush=True)
            keep_results(options.results, results)
    return results


def phantom_reference(codec: ImageCodec) -> dict[str, Row]:
    """Return what is measured on phantoms that were drawn as asked, as they are and after encoding and decoding."""
    return {
        "drawn so": phantom_row(phantoms_drawn_so),
        "drawn so, encoded and decoded": phantom_row(
            lambda asked: codec.decode(codec.encode(phantoms_drawn_so(asked)))
        ),
    }


def real_reference(split: Split, codec: ImageCodec, probes: Probes) -> dict[str, Row]:
    """Return what the probes find in held-out patients' images, as they are and after encoding and decoding."""
    images, groups = split.holdout.images(), split.holdout.groups
    return {
        name: probes.figures(shown, split.holdout.table, groups)
        for name, shown in (
            ("held-out patients", images),
            ("encoded and decoded", codec.decode(codec.encode(images)).clamp(-1, 1)),
        )
    }


def picture(options: argparse.Namespace) -> Image.Image:
    """Return two grids of synthetic images side by side: a row per fixed value, a column per random draw."""
    grids = []
    for cohort, asked in (("phantom", [[ratio] for ratio in RATIOS[:4]]), ("nih_cxr14_sample", PAIRS)):
        split, codec = read_split(options.data, cohort, 0, options.work), shipped_codec(cohort)
        synthesizer = SYNTHESIZERS[options.shown](public_encoder=public_encoder(cohort))
        synthesizer.fit(split.table(codec), split.train.cohort.schema, seed=0)
        names = [RATIO] if cohort == "phantom" else [SEX[0], VIEW[0]]
        drawn = [
            drawn_images(synthesizer, codec, pd.DataFrame([values] * SHOWN, columns=names), seed=5).clamp(-1, 1)
            for values in asked
        ]
        captions = [[""] * SHOWN for _ in asked]
        if cohort == "phantom":
            captions = [[f"{ratio:.2f}" for ratio in measure_images(images.numpy())[RATIO]] for images in drawn]
        labels = [f"ratio {values[0]:.2f}" if cohort == "phantom" else ", ".join(map(str, values)) for values in asked]
        grids.append(grid_of(labels, drawn, captions))
    return side_by_side(grids)


def side_by_side(grids: Sequence[Image.Image]) -> Image.Image:
    """Return grids in one picture."""
    sheet = Image.new("L", (sum(grid.width for grid in grids), max(grid.height for grid in grids)), color=255)
    start = 0
    for grid in grids:
        sheet.paste(grid, (start, 0))
        start += grid.width
    return sheet.quantize(64)


def grid_of(labels: list[str], drawn: list[torch.Tensor], captions: list[list[str]]) -> Image.Image:
    """Return rows of images ``(N, 1, S, S)``, a label before each row and a caption under each image."""
    edge, gap, line, left = 76, 3, 13, 62
    width = left + max(len(images) for images in drawn) * (edge + gap) + 4 * gap
    sheet = Image.new("L", (width, len(labels) * (edge + line + gap)), color=255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for row, (label, images) in enumerate(zip(labels, drawn, strict=True)):
        top = row * (edge + line + gap)
        pen.text((2, top + edge // 2 - 6), label, fill=0, font=font)
        for column, pixels in enumerate(as_pixels(images)):
            start = left + column * (edge + gap)
            sheet.paste(Image.fromarray(pixels[0]).resize((edge, edge), Image.Resampling.BICUBIC), (start, top))
            pen.text((start + edge // 2 - 11, top + edge), captions[row][column], fill=0, font=font)
    return sheet


def text_of(values: list[float], digits: int = 3) -> str:
    """Return a value with its interval."""
    return f"{values[0]:.{digits}f} [{values[1]:.{digits}f}, {values[2]:.{digits}f}]"


def report(results: dict[str, Row]) -> list[str]:
    """Return the three tables."""
    drawn = {cohort: [name for name in SYNTHESIZERS if f"{cohort} {name}" in results] for cohort in COHORTS}
    names = ["drawn so", "drawn so, encoded and decoded", *drawn["phantom"]]
    lines = [
        f"Phantoms, cardiothoracic ratio: {DRAWS} draws with each of {', '.join(f'{r:.2f}' for r in RATIOS)} fixed, "
        "measured on the images. The first row are phantoms of fresh patients drawn with that ratio: the error of "
        "the measurement, which shrinks towards the mean. The second adds the alphaGAN: what a perfect synthesizer "
        "would show.",
        "",
        "| images | bias | root mean square error | slope | correlation | side of the opacity | device |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        row = results[f"phantom {name}"]
        cells = [text_of(row[key]) for key in ("bias", "rmse", "slope", "correlation")]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['opacity_side']:.2f} | {row['device']:.2f} |")
    lines += ["", "Measured mean (standard deviation) by the ratio that was asked for:", ""]
    lines += [f"| images | {' | '.join(f'{r:.2f}' for r in RATIOS)} |", f"|---|{'---|' * len(RATIOS)}"]
    for name in names:
        means = [f"{mean:.3f} ({spread:.3f})" for mean, spread in results[f"phantom {name}"]["means"]]
        lines.append(f"| {name} | {' | '.join(means)} |")
    lines += [
        "",
        f"Radiographs: {DRAWS} draws with each pair of sex and view fixed. Probes on principal components of real "
        "training images look for them; share: images of which the probe says what was asked, mean of both values.",
        "",
        "| images | AUC, view | share, view | AUC, sex | share, sex |",
        "|---|---|---|---|---|",
    ]
    for name in ["held-out patients", "encoded and decoded", *drawn["nih_cxr14_sample"]]:
        row = results[f"nih_cxr14_sample {name}"]
        cells = [f"{text_of(row[f'{key} AUC'])} | {row[f'{key} share']:.2f}" for key in (VIEW[0], SEX[0])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "Side, device, view and sex: share of images that show what was asked, mean over values. Fixed values stay "
        "as they are in every row. Intervals: 95 %, bootstrap over patients, for drawn images over draws.",
    ]
    return lines


def main() -> None:
    """Measure, write the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real cohorts")
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_splits"), help="folder for the splits")
    parser.add_argument("--results", type=Path, required=True, help="JSON with all figures so far")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    parser.add_argument("--synthesizers", nargs="*", default=list(SYNTHESIZERS), choices=list(SYNTHESIZERS))
    parser.add_argument("--shown", default="Gaussian", choices=list(SYNTHESIZERS), help="synthesizer of the picture")
    options = parser.parse_args()
    torch.set_num_threads(1)
    write_section(options.out, "Conditional sampling", report(measured(options)))
    if options.picture is not None:
        picture(options).save(options.picture, optimize=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
