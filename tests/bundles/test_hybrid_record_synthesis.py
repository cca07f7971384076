"""The hybrid bundle, run in this process and from the command line: cohort folder in, synthetic cohort folder out."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from safetensors.numpy import load_file

from monai_hybridsynth.data import digest_folder, digest_network, read_cohort
from monai_hybridsynth.fusion import IndependentSynthesizer, load_synthesizer
from monai_hybridsynth.workflows import prepare_phantom


@pytest.fixture
def bundle(repository):
    """Return the folder of the bundle."""
    return repository / "bundles" / "hybrid_record_synthesis"


@pytest.fixture
def small(cohort_folder, encoder, generator, tmp_path, bundle):
    """Return overrides that put small untrained networks and the random cohort in place of the shipped ones."""
    networks = tmp_path / "networks"
    networks.mkdir()
    torch.save(encoder.state_dict(), networks / "encoder.pt")
    torch.save(generator.state_dict(), networks / "model.pt")
    return {
        "bundle_root": str(bundle),
        "dataset_dir": str(cohort_folder),
        "output_dir": str(tmp_path / "out"),
        "cache_dir": str(tmp_path / "latents"),
        "networks_dir": str(networks),
        "spatial_size": 16,
        "latent_dim": 6,
        "base_channels": 4,
        "device": "cpu",
        "minimum_patients": 2,
        "synthesizer": "@synthesizers#independent",
        "num_records": 12,
    }


def workflow(bundle, kind, overrides, *overlays):
    """Return the workflow of a config with the overrides that it has a key for."""
    files = [str(bundle / "configs" / f"{name}.json") for name in (kind, *overlays)]
    keys = set(json.loads((bundle / "configs" / f"{kind}.json").read_text()))
    known = {name: value for name, value in overrides.items() if name.split("#")[0] in keys}
    return ConfigWorkflow(
        config_file=files,
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train" if kind == "train" else "infer",
        **known,
    )


def execute(bundle, kind, overrides, *overlays):
    """Run one config from initialize to finalize."""
    run = workflow(bundle, kind, overrides, *overlays)
    run.initialize()
    run.run()
    run.finalize()
    return run


def test_train_then_inference_writes_a_synthetic_cohort(bundle, small, tmp_path, generator):
    execute(bundle, "train", small)
    assert isinstance(load_synthesizer(tmp_path / "out" / "synthesizer"), IndependentSynthesizer)
    execute(bundle, "inference", small)
    synthetic = read_cohort(tmp_path / "out" / "synthetic")
    assert len(synthetic) == 12
    manifest = json.loads((tmp_path / "out" / "synthetic" / "manifest.json").read_text())
    assert {"column": "patient_id", "role": "group"} in manifest["exclusions"]
    assert manifest["bundle"]["name"] == "hybrid_record_synthesis"
    assert manifest["bundle"]["version"] == "0.2.0"
    assert manifest["generator"]["sha256"] == digest_network(generator)
    assert manifest["artifact"]["sha256"] == digest_folder(tmp_path / "out" / "synthesizer")


def test_the_properties_that_monai_asks_for_are_there(bundle, small):
    for kind in ("train", "inference"):
        run = workflow(bundle, kind, small)
        run.initialize()
        assert run.check_properties() == []
        run.run()


def test_columns_are_fixed_by_a_mapping_or_by_the_rows_of_a_cohort(bundle, small, tmp_path, cohort_folder):
    execute(bundle, "train", small)
    execute(bundle, "inference", small | {"conditions": {"bright": "yes"}})
    assert set(read_cohort(tmp_path / "out" / "synthetic").table["bright"]) == {"yes"}
    execute(bundle, "inference", small | {"condition_columns": ["bright"], "num_records": None})
    real = read_cohort(cohort_folder).table["bright"].tolist()
    assert read_cohort(tmp_path / "out" / "synthetic").table["bright"].tolist() == real


def test_the_copy_filter_is_a_folder_away(bundle, small, tmp_path, cohort_folder):
    execute(bundle, "train", small)
    execute(bundle, "inference", small | {"copy_filter_cohort": str(cohort_folder)})
    said = json.loads((tmp_path / "out" / "synthetic" / "manifest.json").read_text())["copy_filter"]
    assert said["rejected"] >= 0
    assert said["renderings_compared"] is True
    assert said["sensitivity"]["none"] == 1.0
    assert str(cohort_folder) not in (tmp_path / "out" / "synthetic" / "manifest.json").read_text()


def test_every_key_of_the_configs_takes_effect(bundle, small, tmp_path):
    """A changed value shows in what is built from it; keys that only name paths are used by the other tests."""
    small["cohort"] = {"_target_": "monai_hybridsynth.data.read_cohort", "folder": small["dataset_dir"]}
    changes = {
        "train": {
            "seed": (5, lambda run: run.parser.get_parsed_content("train#trainer").seed),
            "batch_size": (3, lambda run: run.parser.get_parsed_content("train#trainer").batch_size),
            "num_workers": (1, lambda run: run.parser.get_parsed_content("train#trainer").num_workers),
            "spatial_dims": (3, lambda run: run.parser.get_parsed_content("network_def").spatial_dims),
            "spatial_size": (8, lambda run: run.parser.get_parsed_content("train#dataset").spatial_size),
            "in_channels": (2, lambda run: run.parser.get_parsed_content("network_def").in_channels),
            "latent_dim": (7, lambda run: run.parser.get_parsed_content("network_def").latent_dim),
            "minimum_patients": (9, lambda run: run.parser.get_parsed_content("synthesizer").minimum_patients),
            "artifact_dir": ("x", lambda run: str(run.parser.get_parsed_content("train#trainer").artifact_dir)),
            "cache_dir": ("y", lambda run: str(run.parser.get_parsed_content("train#trainer").cache_dir)),
            "device": ("meta", lambda run: run.parser.get_parsed_content("train#trainer").device),
        },
        "inference": {
            "seed": (5, lambda run: run.evaluator.seed),
            "num_records": (3, lambda run: len(run.dataset)),
            "conditions": ({"bright": "no"}, lambda run: run.dataset[0]),
            "unpaired": (True, lambda run: run.evaluator.unpaired),
            "block_size": (9, lambda run: run.evaluator.block_size),
            "latent_dim": (7, lambda run: run.network_def.latent_dim),
            "spatial_dims": (3, lambda run: run.network_def.spatial_dims),
            "synthetic_dir": ("z", lambda run: str(run.evaluator.out)),
            "provenance": ({"bundle": "b"}, lambda run: run.evaluator.provenance),
            "copy_filter_cohort": ("c", lambda run: str(run.evaluator.copy_filter.cohort)),
            "copy_filter": (None, lambda run: run.evaluator.copy_filter),
        },
    }
    execute(bundle, "train", small)
    for kind, keys in changes.items():
        for key, (value, read) in keys.items():
            run = workflow(bundle, kind, {**small, key: value})
            run.initialize()
            assert read(run) == value, (kind, key)


def test_presets_and_synthesizers_are_chosen_by_name(bundle, small):
    del small["synthesizer"]
    for preset in ("paper", "tuned"):
        run = workflow(bundle, "train", small | {"preset": preset, "progress": False})
        run.initialize()
        assert run.parser.get_parsed_content("synthesizer").preset == preset
        assert run.parser.get_parsed_content("synthesizer").progress is False


@pytest.mark.parametrize("synthesizer", ["gaussian", "factorised"])
def test_public_axes_come_from_the_file_beside_the_encoder(bundle, small, synthesizer):
    def asked(**more):
        run = workflow(bundle, "train", small | {"synthesizer": f"@synthesizers#{synthesizer}"} | more)
        return run.parser.get_parsed_content("synthesizer").public_encoder

    assert asked() is None, "there is none"
    path = Path(small["networks_dir"]) / "encoder_public.safetensors"
    path.touch()
    assert asked() == str(path)
    assert asked(public_axes=False) is None
    for name in ("encoder_public.safetensors", "encoder_public_head_ct.safetensors"):
        shipped = load_file(bundle / "models" / name)["axes"]
        assert shipped @ shipped.T == pytest.approx(np.eye(128), abs=1e-4)


def test_head_ct_is_an_overlay(bundle, small, generator, encoder, tmp_path):
    for kind, network, name in (("train", encoder, "encoder_head_ct"), ("inference", generator, "model_head_ct")):
        torch.nn.init.constant_(next(network.parameters()), 0.5)
        torch.save(network.state_dict(), tmp_path / "networks" / f"{name}.pt")
        run = execute(bundle, kind, small, "head_ct")
        assert digest_network(run.parser.get_parsed_content("network")) == digest_network(network)


def test_the_bundle_holds_the_networks_of_the_alpha_gan(bundle):
    """As links, so that a packed bundle is complete and the repository keeps one copy."""
    theirs = bundle.parent / "cxr_alpha_gan" / "models"
    names = {path.name for path in theirs.iterdir()}
    assert names
    assert {path.name for path in (bundle / "models").iterdir()} == names
    for name in names:
        assert (bundle / "models" / name).read_bytes() == (theirs / name).read_bytes()


def test_every_config_speaks_in_full_names_and_the_same_ids(bundle):
    for path in (bundle / "configs").glob("*.json"):
        content = json.loads(path.read_text())
        targets = re.findall(r'"_target_": "([^"]+)"', path.read_text())
        assert all("." in target for target in targets), path
        if path.stem in ("train", "inference", "evaluate"):
            assert {"initialize", "run", "finalize", "bundle_root", "dataset_dir", "device"} <= set(content), path


def test_metadata_has_what_the_zoo_asks_for(bundle):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    assert isinstance(metadata["supported_apps"], dict)
    assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] == 128
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "configs/logging.conf"):
        assert (bundle / name).is_file(), name


def test_the_configs_hold_no_program(bundle):
    """An expression stays one line that a person can read: no definitions, no statements."""
    for path in (bundle / "configs").glob("*.json"):
        for expression in re.findall(r'"\$((?:[^"\\]|\\.)*)"', path.read_text()):
            if not expression.startswith("import "):
                ast.parse(re.sub(r"@[\w#]+", "reference", expression), mode="eval")


def command(bundle, kind, overrides):
    """Return the command line of DESIGN's contract; values as a shell passes them."""
    arguments = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(bundle / f"configs/{kind}.json")]
    for name, value in overrides.items():
        arguments += [f"--{name}", str(value)]
    return arguments


@pytest.mark.slow
def test_it_runs_from_any_working_directory(bundle, small, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    del small["num_records"]
    subprocess.run(command(bundle, "train", small), cwd=elsewhere, check=True, capture_output=True, timeout=300)
    for name in ("synthesizer", "minimum_patients", "cache_dir"):
        small.pop(name)
    small |= {"num_records": 5, "conditions": "{'bright': 'yes'}"}
    subprocess.run(command(bundle, "inference", small), cwd=elsewhere, check=True, capture_output=True, timeout=300)
    synthetic = read_cohort(tmp_path / "out" / "synthetic")
    assert synthetic.table["bright"].tolist() == ["yes"] * 5
    assert list(elsewhere.iterdir()) == []


@pytest.mark.slow
def test_two_processes_train_what_one_does(bundle, small, tmp_path):
    execute(bundle, "train", small | {"output_dir": str(tmp_path / "alone"), "batch_size": 4})
    files = [str(bundle / "configs" / name) for name in ("train.json", "multi_gpu_train.json")]
    del small["num_records"], small["device"]
    arguments = command(bundle, "train", small | {"batch_size": 4})
    arguments[5] = str(files)
    arguments[1:2] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run(arguments, check=True, capture_output=True, timeout=300, env=environment, cwd=tmp_path)
    assert digest_folder(tmp_path / "out" / "synthesizer") == digest_folder(tmp_path / "alone" / "synthesizer")


@pytest.mark.slow
def test_evaluate_judges_prepared_and_synthetic_cohorts(bundle, small, tmp_path):
    prepare_phantom(90, tmp_path / "prepared", spatial_size=32, seed=1)
    small |= {"dataset_dir": str(tmp_path / "prepared" / "train"), "num_records": 40}
    execute(bundle, "train", small)
    execute(bundle, "inference", small)
    judged = small | {"dataset_dir": str(tmp_path / "prepared")}
    twin = shutil.copytree(tmp_path / "out" / "synthetic", tmp_path / "twin")
    judged["synthetic_dir"] = [str(tmp_path / "out" / "synthetic"), str(twin)]
    run = workflow(bundle, "evaluate", judged | {"num_replicates": 10})
    run.initialize()
    assert run.check_properties() == []
    run.run()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(metrics["cohorts"]) == {"train", "holdout", "synthetic", "twin"}
    assert {"correspondence", "fidelity", "utility", "privacy"} <= {entry["family"] for entry in metrics["metrics"]}
    assert (tmp_path / "out" / "report" / "index.html").is_file()


def judged_by(run):
    """Return the arguments that the evaluation of a workflow will be called with."""
    return run.parser.get_parsed_content("evaluator").keywords


def test_evaluate_takes_a_network_as_the_judge(bundle, small):
    network = {"_target_": "torch.nn.Flatten"}
    run = workflow(bundle, "evaluate", small | {"network_def": network, "holdout_dir": small["dataset_dir"]})
    run.initialize()
    images = torch.randn(3, 1, 16, 16)
    assert torch.equal(judged_by(run)["features"](images), images.flatten(1))
    assert len(run.dataset) == 11


def test_every_key_of_evaluate_takes_effect(bundle, small, cohort_folder):
    """The inferer and the device run the network that judges; the dataset is there because MONAI asks for it."""
    network = {"_target_": "torch.nn.Flatten"}
    sliding = {"_target_": "monai.inferers.SlidingWindowInferer", "roi_size": 8}
    base = {"bundle_root": str(bundle), "output_dir": "o", "holdout_dir": str(cohort_folder), "device": "cpu"}
    asked = {
        "dataset_dir": ("p", lambda run: str(judged_by(run)["train"].removesuffix("/train"))),
        "bundle_root": (
            str(cohort_folder),
            lambda run: judged_by(run)["train"].removesuffix("/data/train"),
        ),
        "train_dir": ("t", lambda run: judged_by(run)["train"]),
        "holdout_dir": ("h", lambda run: judged_by(run)["holdout"]),
        "output_dir": ("x", lambda run: judged_by(run)["out"]),
        "synthetic_dir": (["c", "d"], lambda run: judged_by(run)["synthetic"]),
        "seed": (5, lambda run: judged_by(run)["seed"]),
        "spatial_size": (32, lambda run: judged_by(run)["spatial_size"]),
        "num_replicates": (7, lambda run: judged_by(run)["num_replicates"]),
        "features": ("supervised", lambda run: judged_by(run)["features"]),
        "encoder": ("e", lambda run: judged_by(run)["encoder"]),
        "thresholds": ("f.json", lambda run: judged_by(run)["thresholds"]),
        "thorough": (True, lambda run: judged_by(run)["thorough"]),
        "embedding": (3, lambda run: judged_by(run)["features"]),
        "judge": (4, lambda run: run.parser.get_parsed_content("judge")),
        "network_def": (network, lambda run: network if callable(judged_by(run)["features"]) else None),
        "inferer": (sliding, lambda run: {**sliding, "roi_size": run.inferer.roi_size}),
        "device": ("meta", lambda run: _device_of(judged_by(run)["features"])),
        "dataset": ([1, 2], lambda run: run.parser.get_parsed_content("dataset")),
        "evaluator": ("$lambda: 3", lambda run: "$lambda: 3" if run.parser.get_parsed_content("run") == [3] else None),
    }
    content = json.loads((bundle / "configs" / "evaluate.json").read_text())
    assert set(asked) == set(content) - {"imports", "initialize", "run", "finalize"}
    for key, (value, read) in asked.items():
        more = {"network_def": network} if key == "device" else {}
        run = ConfigWorkflow(
            config_file=str(bundle / "configs" / "evaluate.json"),
            meta_file=str(bundle / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="infer",
            **{**base, **more, key: value},
        )
        run.initialize()
        assert read(run) == value, key


def _device_of(features):
    """Return "meta" if the images go there to be judged: nothing comes back from it."""
    try:
        features(torch.zeros(1, 1, 16, 16))
    except NotImplementedError as error:
        return "meta" if "meta" in str(error) else str(error)
    return "cpu"
