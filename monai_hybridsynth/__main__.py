"""Command line: ``python -m monai_hybridsynth prepare | evaluate | audit``. Arguments only; the work is done elsewhere.

Exit codes: 0 done (audit: nothing found), 1 audit found something, 2 the input cannot be used or read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

CLEAN, FOUND, UNUSABLE = 0, 1, 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="python -m monai_hybridsynth", description="Synthetic records for MONAI.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_prepare(commands)
    _add_evaluate(commands)
    _add_audit(commands)
    return parser


def _add_prepare(commands: argparse._SubParsersAction) -> None:
    prepare = commands.add_parser(
        "prepare",
        help="check a cohort folder and split it by patient",
        description="Check every row and image of a cohort folder, infer a schema, and write train, holdout and "
        "schema.json. Never writes into the cohort.",
    )
    prepare.add_argument("cohort", nargs="?", metavar="COHORT", help="folder with records.csv (or .parquet) and images")
    prepare.add_argument("--phantom", type=int, metavar="N", help="draw the embedded cohort of N records instead")
    prepare.add_argument("--variant", default="paper", help="of the embedded cohort: paper, wide, two_site or findings")
    prepare.add_argument("--spatial-size", type=int, default=128, help="pixels along a side of the embedded cohort")
    prepare.add_argument("--out", required=True, metavar="DIR", help="a new folder, or one prepared earlier")
    prepare.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="COL",
        help="column to be predicted, or NAME=COL:is_present, NAME=COL:equals:VALUE, NAME=COL:contains:VALUE; repeat",
    )
    prepare.add_argument("--holdout", type=float, default=0.25, help="share of the patients held out (0.25)")
    prepare.add_argument("--seed", type=int, default=0, help="of the split, and of the embedded cohort (0)")
    prepare.add_argument(
        "--on-invalid", choices=("error", "missing"), default="error", help="what to do with implausible values"
    )
    prepare.add_argument("--modality", choices=("cxr", "head_ct"), help="guessed when not given")
    prepare.add_argument("--schema", metavar="FILE", help="an edited schema.json, instead of the cohort's or a guess")
    prepare.add_argument("--copy", action="store_true", help="copy the images instead of linking to them")
    prepare.set_defaults(run=_prepare)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="judge synthetic cohorts against real ones",
        description="Write DIR/metrics.json, DIR/report/index.html (for the house: it shows real images), data cards "
        "that may go with the synthetic cohorts, and thresholds.json, the limits of the lights with their reasons.",
    )
    evaluate.add_argument("--train", required=True, metavar="A", help="the cohort that the generator was fitted on")
    evaluate.add_argument("--holdout", required=True, metavar="B", help="the cohort of other patients")
    evaluate.add_argument("--synthetic", required=True, action="append", metavar="C", help="repeatable")
    evaluate.add_argument(
        "--features",
        metavar="JUDGE",
        help="what embeds images: a folder that PixelPCA.save wrote, 'supervised', a TorchScript or torch.export file, "
        "or xrv:<weights>; by default components of the real training images' pixels",
    )
    evaluate.add_argument(
        "--encoder",
        metavar="FOLDER",
        help="an alphaGAN bundle: adds the generator's own encoder as a space, and the attack of whoever has it",
    )
    evaluate.add_argument(
        "--thresholds",
        metavar="FILE",
        help="your own limits of the traffic lights; start from DIR/report/thresholds.json",
    )
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument(
        "--thorough", action="store_true", help="also train networks in place; says beforehand how long that can take"
    )
    evaluate.add_argument("--out", required=True, metavar="DIR")
    evaluate.set_defaults(run=_evaluate)


def _add_audit(commands: argparse._SubParsersAction) -> None:
    audit = commands.add_parser(
        "audit",
        help="search an artifact, a bundle or a run folder for patients",
        description="Exit code 0: nothing found; 1: something found; 2: unreadable.",
    )
    audit.add_argument("path", metavar="ARTIFACT_OR_BUNDLE")
    audit.add_argument("--against", metavar="COHORT", help="the private cohort whose values must not occur")
    audit.set_defaults(run=_audit)


def _prepare(arguments: argparse.Namespace) -> int:
    if (arguments.cohort is None) == (arguments.phantom is None):
        raise ValueError("give either COHORT or --phantom N.")
    from monai_hybridsynth.workflows.prepare_cohort import prepare_cohort, prepare_phantom

    shared = {"targets": arguments.target, "holdout": arguments.holdout, "seed": arguments.seed}
    progress = sys.stderr.isatty()
    if arguments.phantom is not None:
        if arguments.schema or arguments.modality or arguments.on_invalid != "error":
            raise ValueError("--schema, --modality and --on-invalid belong to a cohort, not to --phantom.")
        prepared = prepare_phantom(
            arguments.phantom,
            arguments.out,
            variant=arguments.variant,
            spatial_size=arguments.spatial_size,
            progress=progress,
            **shared,
        )
    else:
        prepared = prepare_cohort(
            arguments.cohort,
            arguments.out,
            on_invalid=arguments.on_invalid,
            modality=arguments.modality,
            schema=arguments.schema,
            copy=arguments.copy,
            progress=progress,
            **shared,
        )
    print(prepared.to_text())
    return CLEAN


def _evaluate(arguments: argparse.Namespace) -> int:
    from monai_hybridsynth.evaluation import evaluate_cohorts

    evaluate_cohorts(
        arguments.train,
        arguments.holdout,
        arguments.synthetic,
        arguments.out,
        features=arguments.features,
        encoder=arguments.encoder,
        thresholds=arguments.thresholds,
        seed=arguments.seed,
        thorough=arguments.thorough,
    )
    print(f"Written to {arguments.out}: metrics.json, report/index.html; limits to be edited: report/thresholds.json")
    return CLEAN


def _audit(arguments: argparse.Namespace) -> int:
    from monai_hybridsynth.workflows.release_audit import audit_release

    try:
        findings = audit_release(arguments.path, against=arguments.against)
    except (ValueError, OSError):
        raise
    except Exception as error:  # whatever a damaged file provokes: exit code 1 would read as findings
        raise ValueError(f"{arguments.path} cannot be searched: {type(error).__name__}: {error}") from error
    for finding in findings:
        print(finding)
    count = sum(finding.counts for finding in findings)
    print(f"{count} findings" if count else "nothing found")
    return FOUND if count else CLEAN


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong input is told on stderr without a traceback."""
    parsed = build_parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except (ValueError, OSError) as error:
        print(f"monai_hybridsynth {parsed.command}: {error}", file=sys.stderr)
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
