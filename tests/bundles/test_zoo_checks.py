"""What the Model Zoo's verifier asks of a bundle, asked here of every bundle."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_net_in_out
from monai.bundle.properties import MetaProperties
from safetensors.torch import load_file

BUNDLES = ("cxr_alpha_gan", "cxr_conditional_ddpm", "hybrid_record_synthesis")
FORWARD = {"cxr_conditional_ddpm": {"timesteps": torch.zeros(1, dtype=torch.long)}}  # beside the image
LARGEST_FILE = 25 * 2**20


@pytest.fixture(params=BUNDLES)
def bundle(request, repository):
    """Return the folder of each bundle in turn."""
    return repository / "bundles" / request.param


@pytest.fixture
def trained(bundle):
    """Return the folder of each bundle that comes with weights."""
    if not (bundle / "models").is_dir():
        pytest.skip(f"{bundle.name} comes without weights so far")
    return bundle


def weights_of(bundle):
    """Return the overrides that point a bundle's inference at weights: its own, or the alphaGAN's."""
    files = json.loads((bundle / "configs" / "inference.json").read_text())
    assert "network_def" in files
    return str(bundle / "configs" / "inference.json"), str(bundle / "configs" / "metadata.json")


def test_mandatory_files(bundle):
    for name in ("configs/metadata.json", "configs/inference.json", "docs/README.md", "docs/data_license.txt"):
        assert (bundle / name).is_file(), name
    assert "Apache License" in (bundle / "LICENSE").read_text()


def test_model_files_load_without_code_and_agree(trained):
    bundle = trained
    models = sorted((bundle / "models").glob("*.pt"))
    assert (bundle / "models" / "model.pt") in models
    for path in models:
        state = torch.load(path, weights_only=True)
        safe = load_file(path.with_suffix(".safetensors"))
        assert set(state) == set(safe), path
        assert all(torch.equal(state[name], safe[name]) for name in state), path


def test_no_file_is_too_large_for_the_zoo(bundle):
    listed = (bundle / "large_files.yml").is_file()
    for path in bundle.rglob("*"):
        assert listed or path.stat().st_size < LARGEST_FILE, path


def test_metadata(bundle):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    assert metadata["version"] == max(metadata["changelog"])
    assert isinstance(metadata["supported_apps"], dict)
    for name, rule in MetaProperties.items():
        if rule["required"]:
            node = metadata
            for part in rule["id"].removeprefix("_meta_::").split("::"):
                assert part in node, name
                node = node[part]
    for name in ("required_packages_version", "task", "description", "authors", "copyright", "schema"):
        assert metadata[name], name


def test_network_takes_and_gives_what_the_metadata_says(bundle):
    config, meta = weights_of(bundle)
    verify_net_in_out(
        net_id="network_def",
        config_file=config,
        meta_file=meta,
        device="cpu",
        extra_forward_args=FORWARD.get(bundle.name),
        bundle_root=str(bundle),
    )


def test_network_exports_to_torchscript(trained, tmp_path):
    bundle = trained
    if bundle.name in FORWARD:
        pytest.skip("MONAI's DiffusionModelUNet does not script; the Zoo has a list of such bundles")
    config, meta = weights_of(bundle)
    script = tmp_path / "model.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ckpt_export(
            net_id="network_def",
            filepath=str(script),
            ckpt_file=str(bundle / "models" / "model.pt"),
            meta_file=meta,
            config_file=config,
            bundle_root=str(bundle),
        )
    parser = ConfigParser()
    parser.read_config(config)
    parser["bundle_root"] = str(bundle)
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    codes = torch.randn(3, 128, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.jit.load(str(script)).eval()(codes), network(codes))


def test_bundles_hold_no_code(bundle):
    suffixes = {path.suffix for path in Path(bundle).rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".md", ".txt", ".conf", ".pt", ".safetensors", ".png", ".yml", ""}


def test_a_shipped_bundle_passes_the_audit(bundle):
    from monai_hybridsynth.workflows.release_audit import audit_release

    assert not [finding for finding in audit_release(bundle) if finding.counts]
