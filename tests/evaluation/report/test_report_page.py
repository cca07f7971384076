from __future__ import annotations

import shutil
import subprocess

import pytest

from monai_hybridsynth.evaluation import evaluate_cohorts
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report import _number, _of_family, _span
from monai_hybridsynth.metrics import Estimate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
    "--enable-logging=stderr",
]


def record(value, column=None, **dimensions):
    return MetricRecord.of(
        Estimate(value, value, value, 3),
        cohort="c",
        family="utility",
        name="auroc",
        column=column,
        dimensions=dimensions,
        reading="r",
        estimator="e",
    )


def test_numbers_on_the_page_have_no_negative_zero():
    assert _number(-0.001) == "0.00"
    assert _number(-0.1) == "−0.10"
    assert _number(None) == "–"
    assert _span(record(0.5)) == "[0.50, 0.50]"


def test_the_whole_stands_before_columns_and_labels():
    records = [record(0.1, "x", label="a"), record(0.2, "x"), record(0.3)]
    assert [entry.value for entry in _of_family(records, "utility")] == [0.3, 0.2, 0.1]
    assert _of_family(records, "privacy") == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; install Debian's package chromium")
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_a_browser_draws_every_figure_without_an_error(folders, tmp_path, scheme):
    evaluate_cohorts(
        folders["train"], folders["holdout"], folders["honest"], tmp_path, spatial_size=16, num_replicates=5
    )
    page = tmp_path / "report" / "index.html"
    run = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={scheme}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "CONSOLE" not in run.stderr, run.stderr
    plots = page.read_text(encoding="utf-8").count('class="plot"')
    assert f'data-drawn="{plots}"' in run.stdout
    assert run.stdout.count("main-svg") >= plots
