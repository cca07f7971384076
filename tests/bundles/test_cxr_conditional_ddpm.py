"""The conditional diffusion bundle: trains, resumes, federates, draws replicas, and every key does what it says."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from monai_hybridsynth.data import digest_folder, read_cohort
from monai_hybridsynth.inferers import record_noise
from monai_hybridsynth.networks import RecordEmbedding
from monai_hybridsynth.transforms import RecordCondition, read_record_encoder
from monai_hybridsynth.workflows import read_training_records

SECTIONS = {  # parts that other keys build, and MONAI's own ids
    "imports", "bundle_root", "initialize", "run", "finalize", "train", "validate", "records", "network", "network_def",
    "average", "optimizer", "rate_by_epoch", "schedule", "writer", "early_stop", "scheduler", "sampling_scheduler",
    "inferer", "cohort", "dataset", "dataloader", "provenance", "evaluator", "load", "preprocessing", "prepare_batch",
    "key_metric", "handlers",
}  # fmt: skip


@pytest.fixture(scope="module")
def cohort(make_cohort, tmp_path_factory):
    """Return a cohort folder of 40 records of 20 patients."""
    return make_cohort(tmp_path_factory.mktemp("data") / "cohort", 40, seed=1)


@pytest.fixture(scope="module")
def pool(make_cohort, tmp_path_factory):
    """Return a cohort folder that serves as a pool."""
    return make_cohort(tmp_path_factory.mktemp("data") / "pool", 12, seed=2)


@pytest.fixture
def bundle(repository):
    """Return the folder of the bundle."""
    return repository / "bundles" / "cxr_conditional_ddpm"


@pytest.fixture
def small(bundle, cohort, tmp_path):
    """Return overrides for a training of seconds."""
    return {
        "bundle_root": str(bundle),
        "dataset_dir": str(cohort),
        "output_dir": str(tmp_path / "out"),
        "device": "cpu",
        "spatial_size": 16,
        "channels": [8, 8],
        "attention_levels": [False, True],
        "num_res_blocks": 1,
        "num_head_channels": 4,
        "norm_num_groups": 4,
        "num_train_timesteps": 50,
        "batch_size": 16,
        "max_epochs": 1,
        "num_inference_steps": 2,
        "grid_images": 2,
        "weights": str(tmp_path / "out" / "models" / "model.pt"),
        "on_unlearned": "replace",
    }


def config(bundle, kind):
    return json.loads((bundle / "configs" / f"{kind}.json").read_text())


def workflow(bundle, kind, overrides, *overlays):
    """Return an initialized workflow of a config with the overrides that it has a key for."""
    known = {name: value for name, value in overrides.items() if name.split("#")[0] in config(bundle, kind)}
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


def test_trains_then_draws_replicas_and_evaluates(bundle, small, tmp_path):
    run = execute(bundle, "train", small)
    assert run.check_properties() == []
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} >= {"checkpoint.pt", "best.pt", "grids", "models", "tensorboard"}
    grid = np.asarray(Image.open(out / "grids" / "epoch_0001.png"))
    assert grid.shape == (4 * 16, 2 * 16)
    state = torch.load(out / "models" / "model.pt", weights_only=True)
    safe = load_file(out / "models" / "model.safetensors")
    assert all(torch.equal(state[name], safe[name]) for name in state)
    best = torch.load(out / "best.pt", weights_only=True)
    assert all(torch.equal(state[name], best[name]) for name in state)
    with safe_open(out / "models" / "model.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["record_encoding"])
    stored = read_record_encoder(out / "models" / "model.pt").to_dict()
    assert header == json.loads(json.dumps(stored))

    replicas = small | {"replicas": 2, "synthetic_dir": str(tmp_path / "first")}
    run = execute(bundle, "inference", replicas)
    assert run.check_properties() == []
    drawn = read_cohort(tmp_path / "first")
    assert len(drawn) == 80
    assert drawn.table["bright"].tolist() == read_cohort(small["dataset_dir"]).table["bright"].tolist() * 2
    execute(bundle, "inference", replicas | {"synthetic_dir": str(tmp_path / "second")})
    assert digest_folder(tmp_path / "first") == digest_folder(tmp_path / "second"), "one seed gives one cohort"

    run = execute(bundle, "evaluate", small | {"output_dir": str(tmp_path / "eval")})
    assert run.check_properties() == []
    assert 0 < run.evaluator.state.metrics["velocity_error"] < 10
    assert (tmp_path / "eval" / "metrics.csv").is_file()


def test_the_same_command_goes_on_and_equals_a_run_without_a_break(bundle, small, pool, tmp_path):
    steady = small | {"rate_by_epoch": "$lambda epoch: 1.0", "pool_dir": str(pool), "accumulation_steps": 2}
    execute(bundle, "train", steady)
    execute(bundle, "train", steady | {"max_epochs": 2})
    execute(bundle, "train", steady | {"max_epochs": 2, "output_dir": str(tmp_path / "whole")})
    first, second = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["objects"] for name in ("out", "whole")
    )
    assert first["trainer"]["epoch"] == second["trainer"]["epoch"] == 2
    assert first["evaluator"] == second["evaluator"]
    for name in ("network", "average"):
        for key, value in first[name].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(second[name][key])), (name, key)
    for number, entry in first["optimizer"]["state"].items():
        assert torch.equal(entry["exp_avg"], second["optimizer"]["state"][number]["exp_avg"])


def test_weights_of_another_cohort_are_refused_by_name(bundle, small, make_cohort, tmp_path):
    execute(bundle, "train", small)
    folder = make_cohort(tmp_path / "other", 40, seed=1)
    for name in ("records.csv", "schema.json"):
        (folder / name).write_text((folder / name).read_text().replace("bright", "dark"))
    for kind, said in (("inference", "lacks the columns ['bright']"), ("train", "training on other data")):
        with pytest.raises(RuntimeError) as refused:  # MONAI wraps what an expression of "run" raises
            execute(bundle, kind, small | {"dataset_dir": str(folder)})
        assert said in str(refused.value.__cause__)
    network = workflow(bundle, "train", small | {"dataset_dir": str(folder)}).parser.get_parsed_content("network")
    with pytest.raises(ValueError, match=r"only in the weights: \['bright'\].*only in this network: \['dark'\]"):
        network.load_state_dict(torch.load(small["weights"], weights_only=True))


def test_monais_federated_client_trains_a_round(bundle, small):
    from monai.fl.client import MonaiAlgo
    from monai.fl.utils.constants import ExtraItems
    from monai.fl.utils.exchange_object import ExchangeObject

    known = {name: value for name, value in small.items() if name in config(bundle, "train") and name != "bundle_root"}
    client = MonaiAlgo(
        bundle_root=str(bundle),
        config_train_filename="configs/train.json",
        config_evaluate_filename="configs/train.json",
        train_kwargs=known | {"bundle_root": str(bundle)},
        eval_kwargs=known | {"bundle_root": str(bundle)},
    )
    client.initialize(extra={ExtraItems.CLIENT_NAME: "site"})
    weights = {name: value.clone() for name, value in client.trainer.network.state_dict().items()}
    client.train(ExchangeObject(weights=weights))
    assert client.trainer.state.epoch == 1
    moved = client.get_weights().weights
    assert moved["unet.out.2.conv.weight"].abs().sum() > 0
    assert not moved["embedding.columns"].any(), "the encoding of the rows is the same at every site"
    before = client.trainer.network.record_encoding
    client.train(ExchangeObject(weights={name: value + moved[name] for name, value in weights.items()}))
    assert client.trainer.state.epoch == 2
    assert client.trainer.network.record_encoding == before
    judged = client.evaluate(ExchangeObject(weights=client.trainer.network.state_dict())).metrics
    assert 0 < judged["velocity_error"] < 10
    client.finalize()


def built(identifier):
    return lambda run: run.parser.get_parsed_content(identifier)


def unet_of(run):
    return built("network_def")(run).unet


NETWORK_CHANGES = {
    "spatial_dims": (3, lambda run: unet_of(run).conv_in.conv.weight.ndim - 2),
    "in_channels": (2, lambda run: built("network_def")(run).in_channels),
    "channels": ([8, 16], lambda run: list(unet_of(run).block_out_channels)),
    "attention_levels": ([True, True], lambda run: list(unet_of(run).attention_levels)),
    "num_res_blocks": (2, lambda run: unet_of(run).num_res_blocks[0]),
    "num_head_channels": (8, lambda run: unet_of(run).num_head_channels[0]),
    "norm_num_groups": (2, lambda run: unet_of(run).out[0].num_groups),
    "with_conditioning": (True, lambda run: unet_of(run).with_conditioning),
    "cross_attention_dim": (6, lambda run: built("network_def")(run).embedding.embedding_dim),
    "num_tokens": (2, lambda run: built("network_def")(run).embedding.num_tokens),
}
CHANGES = {
    "train": NETWORK_CHANGES
    | {
        "dataset_dir": ("POOL", lambda run: len(built("records")(run).training) and "POOL"),
        "pool_dir": ("POOL", lambda run: "POOL" if len(built("train#pool_dataset")(run)) == 12 else None),
        "cache_root": ("elsewhere", lambda run: built("output_dir")(run).split(os.sep)[0]),
        "output_dir": ("there", lambda run: str(built("train#checkpoint")(run).folder)),
        "export_dir": ("weights", lambda run: str(built("train#export")(run).folder)),
        "model_name": ("other", lambda run: next(iter(built("train#export")(run).networks))),
        "device": ("cpu", lambda run: str(built("train#trainer")(run).state.device)),
        "seed": (7, lambda run: built("train#prepare_batch")(run).seed),
        "resume": (False, lambda run: built("train#checkpoint")(run).resume),
        "validation_share": (0.5, lambda run: len(built("records")(run).validation) / 40),
        "minimum_patients": (2, lambda run: built("encoder")(run).minimum_patients),
        "encoder": (None, lambda run: built("network_def")(run).embedding.num_features or None),
        "encoding_from": ("ENCODING", lambda run: "ENCODING" if built("encoder")(run).names == ["bright"] else None),
        "spatial_size": (32, lambda run: built("validate#dataset")(run)[0]["image"].shape[-1]),
        "num_train_timesteps": (70, lambda run: len(built("scheduler")(run).alphas_cumprod)),
        "condition_dropout": (0.3, lambda run: built("train#prepare_batch")(run).dropout),
        "snr_gamma": (5.0, lambda run: built("train#prepare_batch")(run).snr_gamma),
        "max_epochs": (6, lambda run: built("train#trainer")(run).state.max_epochs),
        "batch_size": (4, lambda run: built("train#dataloader")(run).batch_size),
        "accumulation_steps": (3, lambda run: built("train#trainer")(run).accumulation_steps),
        "num_workers": (1, lambda run: built("train#dataloader")(run).num_workers),
        "cache_rate": (0.0, lambda run: float(built("train#cohort_dataset")(run).cache_num)),
        "learning_rate": (0.5, lambda run: built("optimizer")(run).defaults["lr"]),
        "weight_decay": (0.5, lambda run: built("optimizer")(run).defaults["weight_decay"]),
        "decay_share": (1.0, lambda run: 4 * built("rate_by_epoch")(run)(3)),
        "clip_norm": (0.5, lambda run: built("train#handlers")(run)[2].max_norm),
        "average_decay": (0.5, lambda run: built("average")(run).decay),
        "amp": (True, lambda run: precision(run) == torch.bfloat16),
        "amp_dtype": ("float16", lambda run: str(built("train#trainer")(run).amp_kwargs["dtype"]).split(".")[1]),
        "validation_interval": (2, lambda run: built("train#validation")(run).interval),
        "early_stop_patience": (3, lambda run: built("early_stop")(run).patience),
        "grid_images": (3, lambda run: len(built("train#grid")(run).images)),
        "grid_interval": (2, lambda run: built("train#grid")(run).interval),
        "num_inference_steps": (3, lambda run: built("train#grid")(run).inferer.schedule.num_inference_steps),
        "guidance_scale": (4.0, lambda run: built("train#grid")(run).inferer.guidance_scale),
        "guidance_rescale": (0.7, lambda run: built("train#grid")(run).inferer.guidance_rescale),
    },
    "inference": NETWORK_CHANGES
    | {
        "dataset_dir": ("POOL", lambda run: "POOL" if len(run.dataset) == 12 else None),
        "output_dir": ("there", lambda run: str(run.evaluator.out.parent)),
        "synthetic_dir": ("there", lambda run: str(run.evaluator.out)),
        "models_dir": ("there", lambda run: os.path.dirname(built("weights")(run))),
        "model_name": ("other", lambda run: os.path.basename(built("weights")(run)).removesuffix(".pt")),
        "weights": ("w.pt", built("weights")),
        "encoder": (None, built("encoder")),
        "device": ("cpu", lambda run: str(run.evaluator.device)),
        "seed": (3, lambda run: run.evaluator.seed),
        "replicas": (3, lambda run: len(run.dataset) // 40),
        "rows": ([5, 6], lambda run: run.dataset.rows),
        "conditions": ({"bright": "yes"}, lambda run: {"bright": run.dataset[0]["bright"]}),
        "on_unlearned": ("replace", lambda run: run.evaluator.on_unlearned),
        "unpaired": (True, lambda run: run.evaluator.unpaired),
        "batch_size": (2, lambda run: run.evaluator.block_size),
        "spatial_size": (32, lambda run: run.evaluator.spatial_size),
        "num_train_timesteps": (70, lambda run: len(run.inferer.schedule.scheduler.alphas_cumprod)),
        "num_inference_steps": (3, lambda run: run.inferer.schedule.num_inference_steps),
        "guidance_scale": (4.0, lambda run: run.inferer.guidance_scale),
        "guidance_rescale": (0.7, lambda run: run.inferer.guidance_rescale),
    },
    "evaluate": NETWORK_CHANGES
    | {
        "dataset_dir": ("POOL", lambda run: "POOL" if len(run.dataset) == 12 else None),
        "output_dir": ("there", lambda run: str(run.evaluator and built("handlers")(run)[-1].save_dir)),
        "models_dir": ("there", lambda run: os.path.dirname(built("weights")(run))),
        "model_name": ("other", lambda run: os.path.basename(built("weights")(run)).removesuffix(".pt")),
        "weights": ("w.pt", built("weights")),
        "encoder": (None, built("encoder")),
        "device": ("cpu", lambda run: str(run.evaluator.state.device)),
        "seed": (3, lambda run: built("prepare_batch")(run).seed),
        "batch_size": (2, lambda run: built("dataloader")(run).batch_size),
        "num_workers": (1, lambda run: built("dataloader")(run).num_workers),
        "cache_rate": (1.0, lambda run: run.dataset.cache_num / len(run.dataset)),
        "spatial_size": (32, lambda run: run.dataset[0]["image"].shape[-1]),
        "num_train_timesteps": (70, lambda run: len(run.inferer.scheduler.alphas_cumprod)),
    },
}


def precision(run):
    """Return the type in which a training step predicts."""
    trainer = built("train#trainer")(run)
    images, _, _, given = trainer.prepare_batch(next(iter(trainer.data_loader)), "cpu")
    return trainer.inferer(images, trainer.network, **given).dtype


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_every_top_level_key_takes_effect(bundle, small, pool, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # relative folders below are made where the process stands
    encoder = read_training_records(small["dataset_dir"]).encoder
    encoder.columns_ = encoder.columns_[1:]
    holder = torch.nn.ModuleDict({"embedding": RecordEmbedding(4, encoder=encoder)})
    torch.save(holder.state_dict(), tmp_path / "bright.pt")
    keys = set(config(bundle, kind)) - SECTIONS
    assert keys == set(CHANGES[kind]), "every key of the config needs a line in this test"
    for key, (value, read) in CHANGES[kind].items():
        overrides = {name: known for name, known in small.items() if name != "weights"}
        overrides["models_dir"] = str(tmp_path)  # the shipped weights learned other columns
        if key == "cache_root":
            overrides.pop("output_dir")
        more = {"max_epochs": 4} if key == "decay_share" else {}
        more |= {"with_conditioning": True} if key in ("cross_attention_dim", "num_tokens") else {}
        overrides |= {key: {"POOL": str(pool), "ENCODING": "bright.pt"}.get(str(value), value), **more}
        assert read(workflow(bundle, kind, overrides)) == value, key


def test_sizes_and_head_ct_are_overlays(bundle, small):
    for name in ("pixels_32", "pixels_64", "pixels_256", "head_ct"):
        whole = {key: small[key] for key in ("bundle_root", "device")}
        run = workflow(bundle, "inference", whole, name)
        expected = config(bundle, name)
        for key in set(expected) & set(config(bundle, "inference")):
            assert run.parser.get_parsed_content(key) == expected[key]
        assert set(expected) <= set(config(bundle, "train"))


def test_shipped_sizes_are_where_the_docs_say(bundle):
    """`train.json` starts at 64 pixels; without an overlay the others take the shipped weights, of 32."""
    for kind, name in (("inference", "pixels_32"), ("evaluate", "pixels_32"), ("train", "pixels_64")):
        assert config(bundle, name).items() <= config(bundle, kind).items()


def test_the_shipped_weights_draw_what_was_asked_for(bundle):
    """The same noise gives the same image for the same row, and another one for another view."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.update({"bundle_root": str(bundle), "num_inference_steps": 5, "guidance_scale": 2.0})
    network, inferer = (parser.get_parsed_content(name) for name in ("network", "inferer"))
    weights = torch.load(bundle / "models" / "model.pt", map_location="cpu", weights_only=True)
    network.to("cpu").load_state_dict(weights)
    row = {"Patient Age": 50, "Patient Gender": "M", "View Position": "PA", "Finding_Labels": "No Finding"}
    rows = pd.DataFrame([row, row | {"View Position": "AP"}, row])
    conditions = RecordCondition(network.record_encoding)(rows)
    images = inferer.sample(record_noise([0, 0, 0], 0, (1, 32, 32), seed=0), network, conditions)
    assert torch.isfinite(images).all()
    torch.testing.assert_close(images[0], images[2], atol=1e-4, rtol=0)
    assert (images[0] - images[1]).abs().mean() > 0.02
    with pytest.raises(ValueError, match="did not learn.*Patient Gender"):
        RecordCondition(network.record_encoding)(rows.assign(**{"Patient Gender": "X"}))


def test_the_network_of_the_paper_has_the_size_that_the_docs_state(bundle):
    """Counted without its embedding of the row, whose size the cohort decides."""
    overlay = config(bundle, "pixels_256")
    from monai.networks.nets import DiffusionModelUNet

    names = ("channels", "attention_levels", "num_head_channels", "norm_num_groups")
    with torch.device("meta"):
        unet = DiffusionModelUNet(2, 1, 1, num_res_blocks=2, **{name: overlay[name] for name in names})
    count = sum(parameter.numel() for parameter in unet.parameters())
    assert f"{count:,}" in (bundle / "docs" / "README.md").read_text()


def test_the_configs_hold_no_program(bundle):
    """An expression stays one line that a person can read: no definitions, no statements."""
    for path in (bundle / "configs").glob("*.json"):
        for expression in re.findall(r'"\$((?:[^"\\]|\\.)*)"', path.read_text()):
            if not expression.startswith("import "):
                ast.parse(re.sub(r"@[\w#]+", "reference", expression), mode="eval")


@pytest.mark.slow
def test_two_processes_train_together(bundle, small, tmp_path):
    files = [str(bundle / "configs" / name) for name in ("train.json", "multi_gpu_train.json")]
    arguments = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle", "run"]
    arguments += ["--config_file", str(files)]
    for name, value in small.items():
        if name in config(bundle, "train") and name != "device":
            arguments += [f"--{name}", str(value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, timeout=600, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    state = torch.load(tmp_path / "out" / "models" / "model.pt", weights_only=True)
    assert state["unet.out.2.conv.weight"].abs().sum() > 0
