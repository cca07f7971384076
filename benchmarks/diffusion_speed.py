"""Images per second: our inferer at its default beside diffusers' own pipeline and mediffusion, networks of one size.

pip install --no-deps --target PEERS mediffusion
python benchmarks/diffusion_speed.py --cohort PREPARED --mediffusion PEERS --out benchmarks/RESULTS.md

All draw the same number of images of 32 pixels, one after another in one process on one core. Speed does not depend on
weights, so the peers' networks are untrained. mediffusion's network, diffusion and solver are its own; only its wrapper
for Lightning, which draws no image, is left out.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from diffusion_bundle import bundle_config, drawn
from results_file import write_section

CHANNELS, SIZE, FEATURES = (32, 64, 96), 32, 25
SCHEDULE = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}
Case = tuple[torch.nn.Module, int, Callable[[], object]]


def ours(cohort: Path, images: int, evaluations: int) -> Case:
    """Return the bundle's network and a call that draws by its `inference.json`."""
    parser = bundle_config(cohort, rows=list(range(images)), batch_size=images, num_inference_steps=evaluations)
    return parser.get_parsed_content("network"), evaluations, partial(drawn, parser)


def of_diffusers(images: int, evaluations: int) -> Case:
    """Return a network of diffusers and its own pipeline."""
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    network = UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        norm_num_groups=16,
    ).eval()
    pipeline = DDIMPipeline(network, DDIMScheduler(**SCHEDULE))
    pipeline.set_progress_bar_config(disable=True)
    call = partial(pipeline, batch_size=images, num_inference_steps=evaluations, output_type="np")
    return network, evaluations, call


def of_mediffusion(folder: Path, images: int, evaluations: int) -> Case:
    """Return mediffusion's network, of the same widths, and its DDIM solver."""
    package = types.ModuleType("mediffusion")
    package.__path__ = [str(folder / "mediffusion")]
    sys.modules["mediffusion"] = package
    from mediffusion.diffusion.base import GaussianDiffusionBase, LossType, ModelMeanType, ModelVarType
    from mediffusion.diffusion.solvers import DDIMSolver
    from mediffusion.models.unet import UNetModel
    from mediffusion.utils.diffusion import enforce_zero_terminal_snr, get_named_beta_schedule

    network = UNetModel(
        input_size=SIZE,
        in_channels=1,
        model_channels=CHANNELS[0],
        out_channels=2,
        num_res_blocks=[1, 1, 1],
        attention_resolutions=[4],
        channel_mult=[1, 2, 3],
        num_classes=FEATURES,
        num_head_channels=32,
        use_scale_shift_norm=True,
    ).eval()
    diffusion = GaussianDiffusionBase(
        betas=enforce_zero_terminal_snr(get_named_beta_schedule("cosine", 1000)),
        model_mean_type=ModelMeanType.VELOCITY,
        model_var_type=ModelVarType.LEARNED_RANGE,
        loss_type=LossType.MSE,
    )
    solver, rows = DDIMSolver(diffusion, evaluations), {"cls": torch.rand(images, FEATURES)}

    def call() -> object:
        return solver.sample(network, torch.randn(images, 1, SIZE, SIZE), cond_scale=0, model_kwargs=rows)

    return network, evaluations, call


def seconds(call: Callable[[], object]) -> float:
    """Return the CPU time of a call, which other processes on the machine hardly change."""
    start = time.process_time()
    with torch.no_grad():
        call()
    return time.process_time() - start


def main() -> None:
    """Measure every case in turn, several times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True, help="prepared cohort")
    parser.add_argument("--mediffusion", type=Path, help="folder into which mediffusion was installed")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, count = options.cohort / "train", options.images
    cases = {
        "ours, default (DPM-Solver++)": ours(train, count, 20),
        "ours, 10 evaluations": ours(train, count, 10),
        "diffusers, DDIMPipeline, 20": of_diffusers(count, 20),
        "diffusers, DDIMPipeline, 200": of_diffusers(count, 200),
    }
    if options.mediffusion is not None:
        cases["mediffusion, DDIM 200 (the paper's sampling)"] = of_mediffusion(options.mediffusion, count, 200)
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.repeats):
        for name, (_, _, call) in cases.items():
            taken[name].append(seconds(call))
            print(name, f"{taken[name][-1]:.2f} s", flush=True)
    lines = [
        f"{SIZE} pixels, {count} images at a time, float32, one core, CPU time, median of {options.repeats}; least and "
        "most in brackets.",
        "",
        "| sampler | parameters | evaluations | images / s | ms / evaluation and image | times as fast as ours |",
        "|---|---|---|---|---|---|",
    ]
    middle = {name: sorted(times)[len(times) // 2] for name, times in taken.items()}
    first = next(iter(middle.values()))
    for name, (network, evaluations, _) in cases.items():
        size = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        rates = [count / value for value in (middle[name], max(taken[name]), min(taken[name]))]
        cells = [f"{size:.2f} M", str(evaluations), f"{rates[0]:.2f} [{rates[1]:.2f}, {rates[2]:.2f}]"]
        cells += [
            f"{1000 * middle[name] / count / evaluations:.1f}",
            f"{first / middle[name]:.2f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    write_section(options.out, "Diffusion: images per second", lines)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
