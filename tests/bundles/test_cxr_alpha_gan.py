"""The alphaGAN bundle: trains, resumes, encodes, decodes and evaluates, and every key does what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_hybridsynth.data import write_phantom_cohort

SECTIONS = {  # parts that other keys build, and MONAI's own ids
    "imports", "bundle_root", "initialize", "run", "finalize", "train", "validate", "pool", "encoder", "generator",
    "image_discriminator", "code_discriminator", "autoencoder", "average", "schedules", "early_stop", "writer",
    "features", "preprocessing", "encoder_def", "generator_def", "image_discriminator_def",
    "code_discriminator_def", "encoder_optimizer", "generator_optimizer", "image_discriminator_optimizer",
    "code_discriminator_optimizer", "rate_by_epoch", "dataset", "dataloader", "evaluator", "network", "network_def",
    "inferer", "handlers", "checkpointloader", "cohort", "load", "compare",
    "key_metric", "additional_metrics",
}  # fmt: skip


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Return a cohort folder of forty phantoms."""
    return write_phantom_cohort(tmp_path_factory.mktemp("pool"), 40, seed=1, spatial_size=32)


@pytest.fixture
def bundle(repository):
    """Return the folder of the bundle."""
    return repository / "bundles" / "cxr_alpha_gan"


@pytest.fixture
def small(pool, tmp_path, bundle):
    """Return overrides for a training of seconds."""
    return {
        "bundle_root": str(bundle),
        "dataset_dir": str(pool),
        "pool_dir": str(pool),
        "output_dir": str(tmp_path / "out"),
        "device": "cpu",
        "spatial_size": 16,
        "latent_dim": 4,
        "base_channels": 2,
        "batch_size": 8,
        "max_epochs": 2,
        "validation_images": 8,
        "generator_weights": str(tmp_path / "out" / "models" / "model.pt"),
        "encoder_weights": str(tmp_path / "out" / "models" / "encoder.pt"),
        "num_records": 5,
    }


def config(bundle, kind):
    return json.loads((bundle / "configs" / f"{kind}.json").read_text())


def workflow(bundle, kind, overrides, *overlays):
    """Return an initialized workflow of a config with the overrides that it has a key for."""
    known = {name: value for name, value in overrides.items() if name.split("#")[0] in config(bundle, kind)}
    if kind == "inference" and known.get("dataset_dir") == overrides.get("pool_dir"):
        known.pop("dataset_dir", None)  # a pool of images is no table of codes: draw from the prior
    run = ConfigWorkflow(
        config_file=[str(bundle / "configs" / f"{name}.json") for name in (kind, *overlays)],
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train" if kind == "train" else "infer",
        **known,
    )
    run.initialize()
    return run


def execute(bundle, kind, overrides, *overlays):
    run = workflow(bundle, kind, overrides, *overlays)
    run.run()
    run.finalize()
    return run


def test_trains_then_encodes_decodes_and_evaluates(bundle, small, pool, tmp_path):
    execute(bundle, "train", small)
    out = tmp_path / "out"
    produced = {path.name for path in out.iterdir()}
    assert {"checkpoint.pt", "best.pt", "grids", "models", "tensorboard"} <= produced
    assert np.asarray(Image.open(out / "grids" / "epoch_0002.png")).std() > 5

    execute(bundle, "encode", small | {"output_dir": str(tmp_path / "codes"), "cache_dir": str(tmp_path / "cache")})
    table = pd.read_parquet(tmp_path / "codes" / "latents.parquet")
    assert len(table) == 40
    assert [name for name in table.columns if name.startswith("latent_")] == [f"latent_{i:03d}" for i in range(4)]

    execute(bundle, "inference", small | {"output_dir": str(tmp_path / "prior")})
    assert len(list((tmp_path / "prior").glob("*.png"))) == 5
    codes = {"output_dir": str(tmp_path / "images"), "dataset_dir": str(tmp_path / "codes")}
    execute(bundle, "inference", small | codes)
    assert len(list((tmp_path / "images").glob("*.png"))) == 40

    run = execute(bundle, "evaluate", small | {"output_dir": str(tmp_path / "eval")})
    metrics = run.parser.get_parsed_content("evaluator").state.metrics
    assert set(metrics) == {"kernel_distance", "l1", "ssim", "sample_kernel_distance"}
    assert (tmp_path / "eval" / "metrics.csv").is_file()


def test_the_same_command_goes_on_and_equals_a_run_without_a_break(bundle, small, tmp_path):
    execute(bundle, "train", small | {"max_epochs": 1, "rate_by_epoch": "$lambda epoch: 1.0"})
    execute(bundle, "train", small | {"max_epochs": 3, "rate_by_epoch": "$lambda epoch: 1.0"})
    whole = {"max_epochs": 3, "rate_by_epoch": "$lambda epoch: 1.0", "output_dir": str(tmp_path / "whole")}
    execute(bundle, "train", small | whole)
    first, second = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["objects"] for name in ("out", "whole")
    )
    assert first["trainer"]["epoch"] == second["trainer"]["epoch"] == 3
    for name in ("encoder", "generator", "image_discriminator", "code_discriminator", "average"):
        for key, value in first[name].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(second[name][key])), (name, key)
    assert first["early_stop"] == second["early_stop"]


@pytest.mark.parametrize("kind", ["train", "inference", "evaluate"])
def test_no_required_property_is_missing(bundle, small, kind):
    if kind != "train":
        execute(bundle, "train", small | {"max_epochs": 1})
    assert not workflow(bundle, kind, small).check_properties()


def built(identifier):
    return lambda run: run.parser.get_parsed_content(identifier)


CHANGES = {
    "train": {
        "dataset_dir": ("$'" + "DATASET" + "'", lambda run: "DATASET"),
        "cache_root": ("elsewhere", lambda run: built("output_dir")(run).split(os.sep)[0]),
        "output_dir": ("there", lambda run: str(built("train#checkpoint")(run).folder)),
        "export_dir": ("weights", lambda run: str(built("train#export")(run).folder)),
        "device": ("cpu", lambda run: str(built("train#trainer")(run).state.device)),
        "seed": (7, lambda run: built("train#trainer")(run).seed),
        "resume": (False, lambda run: built("train#checkpoint")(run).resume),
        "validation_images": (4, lambda run: len(built("validate#dataset")(run))),
        "spatial_dims": (3, lambda run: built("encoder_def")(run).spatial_dims),
        "spatial_size": (32, lambda run: built("encoder_def")(run).spatial_size),
        "in_channels": (2, lambda run: built("encoder_def")(run).in_channels),
        "latent_dim": (9, lambda run: built("generator_def")(run).latent_dim),
        "base_channels": (3, lambda run: built("generator_def")(run).image.weight.shape[1]),
        "loss_kind": ("alphawgan_gp", lambda run: built("train#loss")(run).kind),
        "reconstruction_weight": (3.0, lambda run: built("train#loss")(run).reconstruction_weight),
        "image_weight": (3.0, lambda run: built("train#loss")(run).image_weight),
        "code_weight": (3.0, lambda run: built("train#loss")(run).code_weight),
        "penalty_weight": (3.0, lambda run: built("train#loss")(run).penalty_weight),
        "spectral_weight": (3.0, lambda run: built("train#loss")(run).spectral_weight),
        "warmup_epochs": (3, lambda run: built("train#trainer")(run).warmup_epochs),
        "warmup_rate": (4.0, lambda run: workflow_rate(run)),
        "max_epochs": (6, lambda run: built("train#trainer")(run).state.max_epochs),
        "batch_size": (4, lambda run: built("train#dataloader")(run).batch_size),
        "num_workers": (1, lambda run: built("train#dataloader")(run).num_workers),
        "cache_rate": (0.0, lambda run: float(built("train#dataset")(run).cache_num)),
        "learning_rate": (0.5, lambda run: built("encoder_optimizer")(run).defaults["lr"]),
        "critic_learning_rate": (0.5, lambda run: built("code_discriminator_optimizer")(run).defaults["lr"]),
        "adam_betas": ([0.1, 0.2], lambda run: list(built("generator_optimizer")(run).defaults["betas"])),
        "decay_share": (1.0, lambda run: 2 * built("rate_by_epoch")(run)(1)),
        "clip_norm": (0.5, lambda run: built("train#trainer")(run).clip_norm),
        "average_decay": (0.5, lambda run: built("average")(run).decay),
        "amp": (True, lambda run: built("train#trainer")(run).amp),
        "amp_dtype": ("float16", lambda run: str(built("train#trainer")(run).amp_kwargs["dtype"]).split(".")[1]),
        "validation_interval": (2, lambda run: built("train#validation")(run).interval),
        "early_stop_patience": (3, lambda run: built("early_stop")(run).patience),
        "grid_images": (3, lambda run: len(built("train#grid")(run).images)),
        "memory_format": ("$torch.contiguous_format", lambda run: "$torch.contiguous_format"),
        "critic_norm": ("instance", lambda run: norm_of(built("image_discriminator_def")(run))),
    },
    "inference": {
        "dataset_dir": (None, lambda run: None),
        "output_dir": ("there", lambda run: str(built("handlers")(run)[0].folder)),
        "device": ("cpu", lambda run: str(run.evaluator.state.device)),
        "seed": (3, lambda run: 3 if first_code(run, 3) else None),
        "num_records": (7, lambda run: len(run.dataset)),
        "batch_size": (2, lambda run: run.inferer.batch_size),
        "spatial_dims": (3, lambda run: run.network_def.spatial_dims),
        "spatial_size": (32, lambda run: run.network_def(torch.zeros(2, 4)).shape[-1]),
        "in_channels": (2, lambda run: run.network_def(torch.zeros(2, 4)).shape[1]),
        "latent_dim": (9, lambda run: run.network_def.latent_dim),
        "base_channels": (3, lambda run: run.network_def.image.weight.shape[1]),
        "generator_weights": ("w.pt", lambda run: built("checkpointloader")(run).load_path),
    },
    "encode": {
        "dataset_dir": ("POOL", lambda run: "POOL"),
        "output_dir": ("there", lambda run: str(built("output_dir")(run))),
        "cache_root": ("elsewhere", lambda run: built("cache_dir")(run).split(os.sep)[0]),
        "cache_dir": ("there", lambda run: built("cache_dir")(run)),
        "device": ("cpu", lambda run: str(next(built("network")(run).parameters()).device)),
        "batch_size": (3, built("batch_size")),
        "num_workers": (1, built("num_workers")),
        "spatial_dims": (3, lambda run: built("network_def")(run).spatial_dims),
        "spatial_size": (32, lambda run: built("network_def")(run).spatial_size),
        "in_channels": (2, lambda run: built("network_def")(run).in_channels),
        "latent_dim": (9, lambda run: built("network_def")(run).latent_dim),
        "base_channels": (3, lambda run: built("network_def")(run).features[0].conv.weight.shape[0]),
        "encoder_weights": ("w.pt", built("encoder_weights")),
    },
    "evaluate": {
        "dataset_dir": ("POOL", lambda run: "POOL"),
        "output_dir": ("there", lambda run: str(run.evaluator and built("output_dir")(run))),
        "device": ("cpu", lambda run: str(run.evaluator.state.device)),
        "seed": (5, lambda run: 5 if built("pool")(run).fingerprint else None),
        "validation_images": (4, lambda run: len(run.dataset)),
        "batch_size": (2, lambda run: built("dataloader")(run).batch_size),
        "num_workers": (1, lambda run: built("dataloader")(run).num_workers),
        "cache_rate": (1.0, lambda run: built("dataset")(run).cache_num / len(built("dataset")(run))),
        "spatial_dims": (3, lambda run: built("encoder_def")(run).spatial_dims),
        "spatial_size": (32, lambda run: built("encoder_def")(run).spatial_size),
        "in_channels": (2, lambda run: built("encoder_def")(run).in_channels),
        "latent_dim": (9, lambda run: built("generator_def")(run).latent_dim),
        "base_channels": (3, lambda run: built("generator_def")(run).image.weight.shape[1]),
        "encoder_weights": ("w.pt", built("encoder_weights")),
        "generator_weights": ("w.pt", built("generator_weights")),
    },
}


def workflow_rate(run):
    return built("rate_by_epoch")(run)(0)


def norm_of(network):
    return "instance" if any("InstanceNorm" in type(module).__name__ for module in network.modules()) else None


def first_code(run, seed):
    from monai_hybridsynth.inferers import draw_codes

    return torch.equal(run.dataset[0]["image"], draw_codes(1, 4, seed=seed)[0])


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_every_top_level_key_takes_effect(bundle, small, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # relative folders below are made where the process stands
    keys = set(config(bundle, kind)) - SECTIONS
    assert keys == set(CHANGES[kind]), "every key of the config needs a line in this test"
    for key, (value, read) in CHANGES[kind].items():
        overrides = dict(small)
        if key == "cache_root":
            overrides.pop("output_dir")
        if key == "warmup_rate":
            overrides["warmup_epochs"] = 1
        if key not in ("dataset_dir", "memory_format"):
            overrides[key] = value
        run = workflow(bundle, kind, overrides)
        assert read(run) == value or key in ("dataset_dir", "memory_format"), key


def test_dataset_dir_and_memory_format_take_effect(bundle, small, tmp_path):
    other = write_phantom_cohort(tmp_path / "other", 12, seed=3, spatial_size=32)
    for kind in ("train", "evaluate"):
        pool = workflow(bundle, kind, small | {"dataset_dir": str(other)}).parser.get_parsed_content("pool")
        assert len(pool.training) + len(pool.validation) == 12
    cohort = workflow(bundle, "encode", small | {"dataset_dir": str(other)}).parser.get_parsed_content("cohort")
    assert len(cohort) == 12
    for name in ("channels_last", "contiguous_format"):
        run = workflow(bundle, "train", small | {"memory_format": f"$torch.{name}"})
        weight = run.parser.get_parsed_content("encoder").features[1].conv.weight
        assert weight.is_contiguous(memory_format=getattr(torch, name))


def test_head_ct_is_an_overlay(bundle, small):
    run = workflow(bundle, "inference", {key: small[key] for key in ("bundle_root", "device")}, "head_ct")
    assert run.parser.get_parsed_content("generator_weights").endswith("model_head_ct.pt")


def test_a_wasserstein_training_runs(bundle, small):
    run = execute(bundle, "train", small | {"loss_kind": "alphawgan_gp", "max_epochs": 1})
    assert "image_discriminator_penalty" in run.parser.get_parsed_content("train#trainer").state.output


def command(bundle, kinds, overrides):
    files = [str(bundle / "configs" / f"{kind}.json") for kind in kinds]
    arguments = ["-m", "monai.bundle", "run", "--config_file", files[0] if len(files) == 1 else str(files)]
    for name, value in overrides.items():
        if name.split("#")[0] in config(bundle, kinds[0]):
            arguments += [f"--{name}", str(value)]
    return arguments


@pytest.mark.slow
def test_runs_from_any_working_directory(bundle, small, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    small |= {"max_epochs": 1}
    small.pop("device")
    subprocess.run(
        [sys.executable, *command(bundle, ["train"], small)],
        cwd=elsewhere,
        check=True,
        capture_output=True,
        timeout=300,
    )
    assert (tmp_path / "out" / "models" / "model.safetensors").is_file()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.slow
def test_two_gloo_processes_train_one_network(bundle, small, tmp_path):
    small.pop("device")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run(
        [*launcher, *command(bundle, ["train", "multi_gpu_train"], small)],
        cwd=tmp_path, check=True, capture_output=True, timeout=300, env=environment,
    )  # fmt: skip
    content = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["objects"]
    # 32 training images, 2 processes, 8 a batch: two steps an epoch
    assert content["trainer"]["iteration"] == 4
    assert content["evaluator"]["metrics"]["l1"] > 0
