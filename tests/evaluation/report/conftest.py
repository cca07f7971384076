"""A real browser without a window, driven through a pipe, for the tests of the report's pages."""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monai_hybridsynth.evaluation.judged_cohort import (
    JudgedCohort,
    embed_cohort,
    read_real_cohort,
    read_synthetic_cohort,
)
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report import write_report
from monai_hybridsynth.features import PixelPCA
from monai_hybridsynth.metrics import Estimate
from monai_hybridsynth.transforms import load_images

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    # Whatever is asked for outside the page's own folder fails, and is counted.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
PATIENCE = 120.0


class Browser:
    """One tab of Chromium; commands of the DevTools protocol go through a pipe, so that no port is opened."""

    def __init__(self, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        # The protocol is spoken on the descriptors 3 (to the browser) and 4 (from it).
        script = f'exec "{CHROMIUM}" "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "browser", *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = os.fdopen(ours[1], "wb", buffering=0), os.fdopen(theirs[0], "rb")
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._count = 0
        self.events: list[dict[str, Any]] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self._session: str | None = None
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _listen(self) -> None:
        rest = b""
        while block := self._from.read1(1 << 20):
            *whole, rest = (rest + block).split(b"\0")
            for message in whole:
                self._messages.put(json.loads(message))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; what happens meanwhile is kept in ``events``."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._messages.get(timeout=PATIENCE)
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is waited for."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        self.evaluate(
            f"new Promise((done, fail) => {{ const look = (left) => ({condition}) ? done(true) : left ? "
            "setTimeout(look, 50, left - 1) : fail(new Error('still false')); look(1500); })"
        )

    def open(self, page: Path, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Open a report and wait until its plots are drawn."""
        self.events.clear()
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Page.navigate", url=page.as_uri())
        self.wait("document.readyState === 'complete' && document.body && document.body.dataset.drawn !== undefined")

    def errors(self) -> list[str]:
        """Return what went to the console as an error or warning, and what was thrown, since the page was opened."""
        self.evaluate("1")
        found = []
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
            elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(str(parameters["args"]))
        return found

    def requests(self) -> list[str]:
        """Return the addresses asked for since the page was opened, data inside the page itself left out."""
        self.evaluate("1")
        asked = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("data:", "blob:"))]

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write what is seen, or the whole page, as PNG."""
        content = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(content))

    def pdf(self) -> bytes:
        """Return the page as it is printed on A4."""
        return base64.b64decode(self.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def close(self) -> None:
        """End the browser that this object started."""
        self._session = None
        try:
            self._to.write(json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
            self.process.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """Return a running Chromium, or skip with the way to get one."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: install Debian's package chromium; the project's .ci/run does")
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def line(
    name, value, cohort, *, family, column=None, floor=0.0, better="higher", spread=0.1, **dimensions
) -> MetricRecord:
    """Return one line of metrics.json; None is one that could not be estimated."""
    absent = Estimate.absent("too few patients </script>")
    return MetricRecord.of(
        absent if value is None else Estimate(value, value - spread, value + spread, 60),
        cohort=cohort,
        family=family,
        name=name,
        column=column,
        dimensions=dimensions,
        floor=floor,
        ceiling=1.0,
        better=better,
        reading=f"{name} in one sentence.",
        estimator="made up for a test",
    )


def lines(cohort: str, columns: list[str]) -> list[MetricRecord]:
    """Return lines of every family, as the stages write them."""
    found = []
    for place, column in enumerate([None, *columns]):
        for direction in ("forward", "reverse"):
            for predictor in ("linear", "kernel"):
                value = None if place == 2 else 0.8
                name = f"agreement_{direction}"
                found.append(line(name, value, cohort, family="correspondence", column=column, predictor=predictor))
        found.append(line("column_shape", 0.9, cohort, family="fidelity", column=column, floor=0.95))
        found.append(line("pair_trend", 0.85, cohort, family="fidelity", column=column, floor=0.9))
        found.append(line("missingness", 0.05, cohort, family="fidelity", column=column, better="lower", spread=0.02))
    for arm in ("real", "synthetic", "both"):
        for volume in (1.0, 5.0):
            given = {"input": "image", "predictor": "linear", "volume": volume, "arm": arm}
            found.append(line("auroc", 0.8, cohort, family="utility", column="sex", **given))
            found.append(line("auroc", 0.7, cohort, family="utility", column="sex", subgroup="age < 50", **given))
    for volume in (1.0, 5.0):
        given = {"input": "image", "predictor": "linear", "volume": volume}
        found.append(line("utility_ratio", 0.8, cohort, family="utility", **given))
    found += [line(name, 0.7, cohort, family="fidelity", floor=0.8) for name in ("precision", "recall", "coverage")]
    found.append(line("kernel_distance", 0.02, cohort, family="fidelity", better="lower"))
    found.append(line("broken_images", 0.1, cohort, family="fidelity", better="lower", floor=0.05, spread=0.02))
    for view in ("image", "table", "record"):
        for stratum in ("all", "outlier decile"):
            given = {"view": view, "stratum": stratum, "attack": "strongest"}
            found.append(line("membership_auroc", 0.52, cohort, family="privacy", better="lower", floor=0.5, **given))
    found.append(line("copies_share", 0.02, cohort, family="privacy", better="lower", spread=0.02, view="image"))
    found.append(line("linkability", 0.0, cohort, family="privacy", better="lower", spread=0.03))
    return found


def left_to_draw(columns: list[str]) -> dict[str, Any]:
    """Return one of every drawing that a stage may leave."""
    rate = [0.0, 0.2, 1.0]
    pairs = [{"train": 3, "correlation": 0.97, "distance": 0.4, "transform": "flipped"}]
    points = [[0.1 * place, 1.0 - 0.1 * place] for place in range(10)]
    grid = [[0.0, 0.5, 1.0], [0.2, -0.4, 0.1], [0.0, 0.0, -1.0]]
    return {
        "membership_roc": {"record": {"fpr": rate, "tpr": rate, "attack": "density", "auroc": 0.5}},
        "copies": [{"synthetic": 5, **pairs[0]}],
        "copies_holdout": [{"holdout": 7, **pairs[0]}],
        "copy_threshold": 0.95,
        "record_distances": {"edges": [0, 1, 2], "real": [0.4, 0.6], "synthetic": [0.5, 0.5], "unmatched": [0.3, 0.7]},
        "tsne": {"real": points, "synthetic": points},
        "spectrum": {"frequency": [0.1, 0.2], "real": [9.0, 1.0], "holdout": [8.0, 1.0], "synthetic": [9.0, 0.1]},
        "broken": [2, 4],
        "cooccurrence": {"labels": ["wet", "dry"], "real": [[1, 0.2], [0.3, 1]], "synthetic": [[1, 0.1], [0.1, 1]]},
        "calibration": {
            "sex": {arm: {"predicted": [0.2, 0.8], "observed": [0.3, 0.7]} for arm in ("real", "synthetic")}
        },
        "occlusion": [{"row": 1, "target": "sex", "real": grid, "synthetic": grid}],
        "dependence": {"columns": columns, "real": [0.3] * len(columns), "synthetic": [0.2] * len(columns)},
    }


@pytest.fixture(scope="session")
def sides(folders) -> dict[str, JudgedCohort]:
    """Return train, holdout and two synthetic cohorts with images, as the evaluation embeds them."""
    real = {name: read_real_cohort(folders[name]) for name in ("train", "holdout")}
    schema = real["train"].schema
    features = PixelPCA(8).fit(load_images(real["train"].image_paths, schema.image, spatial_size=16))
    found = {
        role: embed_cohort(cohort, features, name=role, role=role, spatial_size=16) for role, cohort in real.items()
    }
    for folder in ("honest", "unmatched"):
        cohort, manifest = read_synthetic_cohort(folders[folder], schema)
        found[folder] = embed_cohort(
            cohort, features, name=folder, role="synthetic", spatial_size=16, manifest=manifest
        )
    return found


@pytest.fixture(scope="session")
def draw(sides) -> Callable[..., Path]:
    """Return a function that writes a report of made-up figures into a folder."""

    def write(folder: Path, *names: str, columns: list[str] | None = None, **options: Any) -> Path:
        chosen = [sides[name] for name in names]
        columns = columns or ["sex", "age", "smoker"]
        metrics = options.pop("metrics", None) or [one for name in names for one in lines(name, columns)]
        drawings = options.pop("drawings", None) or {name: left_to_draw(columns) for name in names}
        settings = {"drawings": drawings, "seed": 0, "judge": "pixel PCA", **options}
        return write_report(folder, sides["train"], sides["holdout"], chosen, metrics, **settings)

    return write


@pytest.fixture(scope="session")
def both(draw, tmp_path_factory) -> Path:
    """Return the page of two cohorts with every drawing there is."""
    return draw(tmp_path_factory.mktemp("both") / "report", "honest", "unmatched")


@pytest.fixture(scope="session")
def make_line() -> Callable[..., MetricRecord]:
    """Return the function that makes one line of metrics.json."""
    return line


@pytest.fixture(scope="session")
def make_drawings() -> Callable[[list[str]], dict[str, Any]]:
    """Return the function that makes one of every drawing."""
    return left_to_draw
