"""The house rules of the package, read from its source: layers, sizes, names, mirrored tests, forbidden calls."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "monai_hybridsynth"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
SOURCES = sorted(MODULES + [p for folder in ("tests", "benchmarks") for p in (ROOT / folder).rglob("*.py")])

# A layer may import any group to its left; none to its right, none beside it.
GROUPS = (
    ("data", "networks", "losses", "metrics"),
    ("transforms", "inferers", "engines", "handlers"),
    ("features", "fusion"),
    ("workflows", "evaluation"),
    ("studies", "__main__"),
)
RANK = {layer: rank for rank, group in enumerate(GROUPS) for layer in group}
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "base", "core", "manager", "config", "tools"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 50
HEAVY_IMPORTS = ("torch", "monai", "pandas", "sklearn", "scipy", "ctgan", "rdt", "diffusers", "plotly", "highdicom")
# Where the layers' own names are imported, these still wait until they are used.
LATE_IMPORTS = ("ctgan", "rdt", "diffusers", "plotly", "highdicom", "jinja2", "tensorboard", "opacus")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def layer_of(path: Path) -> str:
    """Return the layer of a module of the package; empty for the package's own ``__init__``."""
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported_layers(path: Path, tree: ast.Module) -> set[str]:
    """Return the layers of this package that a module imports, relative imports included."""
    here = ("monai_hybridsynth", *path.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (origin, node.module or "")))
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "monai_hybridsynth" else [module]
        found |= {name.split(".")[1] for name in names if name.startswith("monai_hybridsynth.")}
    return found & set(RANK)


def wrong_imports(layer: str, imports: set[str]) -> set[str]:
    return {other for other in imports if other != layer and RANK[other] >= RANK[layer]}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_run_one_way(path):
    layer = layer_of(path)
    if not layer:
        assert not imported_layers(path, tree_of(path)), "the package itself imports no layer: it stays light"
        return
    assert layer in RANK, f"{layer} is no layer of the house; the layers are {sorted(RANK)}"
    wrong = wrong_imports(layer, imported_layers(path, tree_of(path)))
    assert not wrong, f"{relative(path)} may not import {sorted(wrong)}"


def test_the_import_rule_sees_every_form():
    path = PACKAGE / "data" / "made_up.py"
    for line in (
        "import monai_hybridsynth.fusion",
        "from monai_hybridsynth.fusion import X",
        "from monai_hybridsynth import fusion",
        "from ..fusion import X",
        "from ..fusion.ctgan_synthesizer import X",
        "def f():\n    from ..fusion import X",
    ):
        assert imported_layers(path, ast.parse(line)) == {"fusion"}, line
    assert wrong_imports("data", {"fusion", "networks", "data"}) == {"fusion", "networks"}
    assert wrong_imports("workflows", {"fusion", "data"}) == set()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_are_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{lines} lines: make a folder of the same name and re-export"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_functions_are_short(path):
    long = {}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > LONGEST_FUNCTION:
                long[node.name] = lines
    assert not long, f"functions longer than {LONGEST_FUNCTION} lines: {long}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_names_say_something(path):
    parts = [part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts]
    assert not VAGUE_NAMES & set(parts)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_declares_its_names(path):
    if path.name == "__main__.py":
        return
    assigned = {t.id for n in tree_of(path).body if isinstance(n, ast.Assign) for t in n.targets if hasattr(t, "id")}
    annotated = {n.target.id for n in tree_of(path).body if isinstance(n, ast.AnnAssign) and hasattr(n.target, "id")}
    assert "__all__" in assigned | annotated
    futures = [n for n in tree_of(path).body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    assert futures, "from __future__ import annotations is missing"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_has_its_test(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__init__":
        return
    name = parts[-1].strip("_")
    places = [ROOT.joinpath("tests", *parts[:depth], f"test_{name}.py") for depth in range(len(parts))]
    # A file that outgrew its room became a folder: its parts may share the test of the concept.
    places += [ROOT.joinpath("tests", *parts[:depth], f"test_{parts[depth]}.py") for depth in range(1, len(parts))]
    assert any(place.is_file() for place in places), f"none of {[relative(place) for place in places]} exists"


def monai_public_names() -> set[str]:
    """Return the public classes and functions of MONAI, read from its source without importing it."""
    origin = importlib.util.find_spec("monai").submodule_search_locations[0]
    pattern = re.compile(r"^(?:class|def) ([A-Za-z]\w*)", re.MULTILINE)
    names: set[str] = set()
    for path in Path(origin).rglob("*.py"):
        names |= set(pattern.findall(path.read_text(encoding="utf-8")))
    return names


def test_no_public_name_of_monai_is_used_again():
    theirs = monai_public_names()
    assert {"Generator", "Discriminator", "ResBlock", "FIDMetric"} <= theirs
    clashes = []
    for path in MODULES:
        for node in tree_of(path).body:
            public = isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
            if public and node.name in theirs and path.name != "__main__.py":
                clashes.append(f"{relative(path)}: {node.name}")
    assert not clashes, "MONAI's locator scans this package too: short _target_s would become ambiguous"


def forbidden_calls(tree: ast.Module) -> list[str]:
    """Return what library code must not do: print, unpickle, or load tensors by unpickling."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [m for m in modules if m.split(".")[0] in {"pickle", "cloudpickle", "joblib", "dill"}]
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
        pickled = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
        if call == "print" or (call == "torch.load" and not safe) or call.endswith("read_pickle") or pickled:
            found.append(f"line {node.lineno}: {call}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_print_and_no_pickle(path):
    found = [what for what in forbidden_calls(tree_of(path)) if not (path.name == "__main__.py" and "print" in what)]
    assert not found


def test_the_forbidden_calls_are_seen():
    source = "import pickle\nprint(1)\ntorch.load(f)\nnp.load(f, allow_pickle=True)\ntorch.load(f, weights_only=True)"
    assert len(forbidden_calls(ast.parse(source))) == 4


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_nothing_is_left_open(path):
    found = re.findall(r"TODO|FIXME|XXX|pragma: no cover|raise NotImplementedError", path.read_text(encoding="utf-8"))
    assert not found


def tracked_texts() -> list[Path]:
    """Return the text files that git tracks; without git, those of the usual folders."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    paths = [ROOT / line for line in listing.stdout.splitlines()] or SOURCES
    kinds = {".py", ".json", ".md", ".cfg", ".toml", ".txt", ".conf", ".html", ".yml", ""}
    return [path for path in paths if path.is_file() and path.suffix in kinds and path != Path(__file__)]


def test_no_path_of_one_machine():
    pattern = re.compile(r"/(?:work|home|root|Users|opt|mnt)/\w+")
    found = [
        f"{relative(path)}: {match}"
        for path in tracked_texts()
        for match in pattern.findall(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert not found


def test_every_package_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(setup["options"]["packages"].split())
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in MODULES if path.name == "__init__.py"}
    assert listed == there | {"monai_hybridsynth.bundles"}


def test_the_bundles_hold_no_code():
    assert not list((ROOT / "bundles").rglob("*.py"))


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after a statement."""
    code = (
        f"import json, sys\n{statement}\nsys.stdout.write(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_the_package_is_light():
    assert not loaded_after("import monai_hybridsynth") & set(HEAVY_IMPORTS)


@pytest.mark.slow
def test_the_layers_import_what_is_heavy_where_it_is_used():
    layers = [layer for layer in RANK if (PACKAGE / layer / "__init__.py").is_file()]
    before = loaded_after("import torch, monai, monai.bundle, monai.engines, monai.handlers")
    after = loaded_after("\n".join(f"import monai_hybridsynth.{layer}" for layer in layers))
    assert not (after - before) & set(LATE_IMPORTS)
