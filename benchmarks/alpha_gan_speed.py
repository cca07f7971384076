"""How fast an alphaGAN trains here: layouts, upsampling and precision in one run, beside the machine's matrix product.

python benchmarks/alpha_gan_speed.py --out benchmarks/RESULTS.md

The peer is the layer that a user would pick instead: torch's nearest upsampling and a 3x3 convolution. GFLOP/s count
the multiplications and additions of the folded network (forward and backward), whatever a variant really computes.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path

import torch
from results_file import write_section
from torch import nn

from monai_hybridsynth.engines import AlphaGanTrainer
from monai_hybridsynth.losses import AlphaGanLoss
from monai_hybridsynth.networks import (
    AlphaGanCodeDiscriminator,
    AlphaGanEncoder,
    AlphaGanGenerator,
    AlphaGanImageDiscriminator,
    UpsampleConvolution,
)

SIZE, BATCH, STEPS = 64, 64, 4
TITLE = "alphaGAN training step"


class PlainUpsampling(nn.Module):
    """Upsample, then convolve: two steps, an enlarged image in between."""

    def __init__(self, folded: UpsampleConvolution) -> None:
        super().__init__()
        out_channels, in_channels = folded.weight.shape[:2]
        self.upsample = nn.Upsample(scale_factor=2)
        self.convolve = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=folded.bias is not None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Double and convolve."""
        return self.convolve(self.upsample(x))


def with_plain_upsampling(network: nn.Module) -> nn.Module:
    """Replace every folded layer."""
    for name, child in network.named_children():
        if isinstance(child, UpsampleConvolution):
            setattr(network, name, PlainUpsampling(child))
        else:
            with_plain_upsampling(child)
    return network


def seconds_per_step(*, folded: bool, channels_last: bool, mixed: bool) -> float:
    """Train a few steps and return the median."""
    torch.manual_seed(0)
    networks = {
        "encoder": AlphaGanEncoder(2, 1, SIZE),
        "generator": AlphaGanGenerator(2, 1, SIZE),
        "image_discriminator": AlphaGanImageDiscriminator(2, 1, SIZE),
        "code_discriminator": AlphaGanCodeDiscriminator(),
    }
    if not folded:
        with_plain_upsampling(networks["generator"])
    for network in networks.values():
        network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    optimizers = {f"{name}_optimizer": torch.optim.Adam(net.parameters(), 2e-4) for name, net in networks.items()}
    batch = {"image": torch.rand(BATCH, 1, SIZE, SIZE) * 2 - 1}
    trainer = AlphaGanTrainer("cpu", 1, [batch], **networks, **optimizers, loss=AlphaGanLoss(), amp=mixed)
    trainer.state.epoch = 1
    times = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        trainer._iteration(trainer, batch)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[STEPS // 2]


def work_per_step() -> float:
    """Return GFLOP of one step of the folded network, counted by torch on the networks' forward passes."""
    from torch.utils.flop_counter import FlopCounterMode

    image, code = torch.rand(BATCH, 1, SIZE, SIZE), torch.rand(BATCH, 128)
    counts = {}
    for name, network, data in (
        ("E", AlphaGanEncoder(2, 1, SIZE), image),
        ("G", AlphaGanGenerator(2, 1, SIZE), code),
        ("D", AlphaGanImageDiscriminator(2, 1, SIZE), image),
    ):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(data)
        counts[name] = counter.get_total_flops() / 1e9
    # E once and G twice, forward and both gradients; D on two fakes for G (forward, input gradient), then on three sets
    return 3 * counts["E"] + 6 * counts["G"] + (2 * 2 + 3 * 3) * counts["D"]


def matrix_product_rate() -> float:
    """Return GFLOP/s of a large float32 matrix product."""
    first, second = torch.rand(2048, 2048), torch.rand(2048, 2048)
    best = min(_timed(lambda: first @ second) for _ in range(6))
    return 2 * 2048**3 / best / 1e9


def _timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Measure every variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    work, peak = work_per_step(), matrix_product_rate()
    peer = None
    lines = [
        f"{SIZE} pixels, 32 base channels, batch {BATCH}, {torch.get_num_threads()} threads, {work:.0f} GFLOP a step; "
        f"float32 matrix product {peak:.0f} GFLOP/s.",
        "",
        "| upsampling | layout | precision | s / step | GFLOP/s | times faster than the peer |",
        "|---|---|---|---|---|---|",
    ]
    for folded, channels_last, mixed in product((False, True), (False, True), (False, True)):
        seconds = seconds_per_step(folded=folded, channels_last=channels_last, mixed=mixed)
        peer = peer or seconds
        names = ("folded" if folded else "nearest, then 3x3", "channels last" if channels_last else "default")
        cells = [*names, "bfloat16" if mixed else "float32", f"{seconds:.2f}", f"{work / seconds:.0f}"]
        lines.append("| " + " | ".join([*cells, f"{peer / seconds:.1f}"]) + " |")
    write_section(options.out, TITLE, lines)


if __name__ == "__main__":
    main()
