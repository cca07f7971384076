"""Train the four networks of an alphaGAN; every draw follows from the seed and the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from ignite.handlers import TerminateOnNan
from monai.data import DataLoader
from monai.engines import Trainer
from torch import distributed, nn

__all__ = ["AlphaGanTrainer"]

Augmentation = Callable[..., torch.Tensor]


class AlphaGanObjectives(Protocol):
    """What E and G, D, and C minimise; see :class:`monai_hybridsynth.losses.AlphaGanLoss`."""

    def autoencoder(self, *args: Any) -> dict[str, torch.Tensor]:
        """Return the objective of E and G."""

    def image_discriminator(self, *args: Any, generator: torch.Generator | None) -> dict[str, torch.Tensor]:
        """Return the objective of D."""

    def code_discriminator(self, *args: Any, generator: torch.Generator | None) -> dict[str, torch.Tensor]:
        """Return the objective of C."""


class AlphaGanTrainer(Trainer):
    """One step each of E and G, then of D, then of C, on every batch; E, G, D and C have an optimiser each.

    Reconstruction and sample pass G as one batch, and D as one batch, so that the running statistics of their batch
    norms describe both. Gradients and running statistics are averaged over processes (torchrun, gloo or nccl), so an
    epoch on two processes sees each image once and all processes hold equal weights. All random numbers (prior codes,
    augmentation, penalty mixtures) come from a generator seeded by seed, epoch and rank: a run resumed at an epoch's
    start continues bit for bit.

    Args:
        device: where to train.
        max_epochs: number of passes over ``train_data_loader``.
        train_data_loader: yields ``{"image": (B, C, S, S[, S])}`` in [-1, 1]. Give it a ``DistributedSampler``
            (also with one process): its order then depends on seed and epoch only.
        encoder: E.
        generator: G.
        image_discriminator: D.
        code_discriminator: C.
        encoder_optimizer: optimiser of E; Adam 2e-4 in the paper. Likewise the next three.
        generator_optimizer: optimiser of G.
        image_discriminator_optimizer: optimiser of D.
        code_discriminator_optimizer: optimiser of C.
        loss: the objectives, e.g. :class:`monai_hybridsynth.losses.AlphaGanLoss`.
        augmentation: ``augmentation(images, generator=...)`` changes a batch; None trains on images as they are.
        warmup_epochs: epochs in which D neither learns nor teaches. Differs from the paper, which has none (0).
        clip_norm: largest gradient norm of each network, None for no limit. Not stated in the paper.
        seed: seed of everything drawn here.
        amp: mixed precision. With ``amp_dtype`` float16 on a GPU, gradients are scaled.
        amp_dtype: ``"bfloat16"`` or ``"float16"``.
        epoch_length: iterations per epoch, by default one pass.
        key_metric: see MONAI's Trainer.
        handlers: see MONAI's Trainer.

    Raises:
        TypeError: if ``amp`` is not a bool.
        ValueError: if ``amp_dtype`` is unknown.

    Source:
        Rosca et al. 2017, https://arxiv.org/abs/1706.04987; Kwon et al. 2019, https://arxiv.org/abs/1908.02498.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: Iterable | DataLoader,
        *,
        encoder: nn.Module,
        generator: nn.Module,
        image_discriminator: nn.Module,
        code_discriminator: nn.Module,
        encoder_optimizer: torch.optim.Optimizer,
        generator_optimizer: torch.optim.Optimizer,
        image_discriminator_optimizer: torch.optim.Optimizer,
        code_discriminator_optimizer: torch.optim.Optimizer,
        loss: AlphaGanObjectives,
        augmentation: Augmentation | None = None,
        warmup_epochs: int = 0,
        clip_norm: float | None = 5.0,
        seed: int = 0,
        amp: bool = False,
        amp_dtype: str = "bfloat16",
        epoch_length: int | None = None,
        key_metric: dict | None = None,
        handlers: Sequence | None = None,
    ) -> None:
        if not isinstance(amp, bool):
            raise TypeError(f"amp is {amp!r}, not a truth value; on a command line write --amp True or --amp False.")
        if amp_dtype not in ("bfloat16", "float16"):
            raise ValueError(f"amp_dtype is {amp_dtype!r}; choose 'bfloat16' or 'float16'.")
        self.encoder, self.generator = encoder, generator
        self.image_discriminator, self.code_discriminator = image_discriminator, code_discriminator
        self.optimizers = {
            "encoder": encoder_optimizer,
            "generator": generator_optimizer,
            "image_discriminator": image_discriminator_optimizer,
            "code_discriminator": code_discriminator_optimizer,
        }
        self.loss = loss
        self.augmentation = augmentation
        self.warmup_epochs = warmup_epochs
        self.clip_norm = clip_norm
        self.seed = seed
        self.random = torch.Generator()
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=train_data_loader,
            epoch_length=epoch_length,
            key_metric=key_metric,
            handlers=handlers,
            amp=amp,
            amp_kwargs={"dtype": getattr(torch, amp_dtype)},
            decollate=False,
        )
        self.add_event_handler(Events.STARTED, self._synchronise_networks)
        self.add_event_handler(Events.EPOCH_STARTED, self._seed_epoch)
        self.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan())
        self.grad_scaler = torch.amp.GradScaler(self.state.device.type, enabled=amp and amp_dtype == "float16")

    def run(self) -> None:  # type: ignore[override]
        """Train to ``max_epochs``.

        Raises:
            RuntimeError: if a loss is no longer finite; the last checkpoint is from before that.
        """
        # skips Trainer.run, which would make a CUDA gradient scaler of its own
        super(Trainer, self).run()
        broken = sorted(name for name, value in (self.state.output or {}).items() if not math.isfinite(value))
        if broken:
            raise RuntimeError(
                f"training diverged in epoch {self.state.epoch}: {', '.join(broken)} not finite; "
                "resume from the last checkpoint with a lower learning rate or a smaller clip_norm."
            )

    def networks(self) -> dict[str, nn.Module]:
        """Return E, G, D and C by name."""
        return {
            "encoder": self.encoder,
            "generator": self.generator,
            "image_discriminator": self.image_discriminator,
            "code_discriminator": self.code_discriminator,
        }

    def _seed_epoch(self, engine: Engine) -> None:
        rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.random.manual_seed((self.seed * 1_000_003 + engine.state.epoch) * 1_009 + rank)
        for network in self.networks().values():
            network.train()

    def _synchronise_networks(self) -> None:
        """Start every process from the weights of the first."""
        if distributed.is_initialized():
            for network in self.networks().values():
                for value in network.state_dict().values():
                    distributed.broadcast(value, src=0)

    def _descend(self, names: Sequence[str], loss: torch.Tensor) -> None:
        """Step the named networks down the gradient of ``loss``."""
        for name in names:
            self.optimizers[name].zero_grad(set_to_none=True)
        self.grad_scaler.scale(loss).backward()
        for name in names:
            optimizer = self.optimizers[name]
            parameters = [p for p in self.networks()[name].parameters() if p.grad is not None]
            if distributed.is_initialized():
                _average_over_processes([p.grad for p in parameters if p.grad is not None])
            self.grad_scaler.unscale_(optimizer)
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, self.clip_norm)
            self.grad_scaler.step(optimizer)

    def _iteration(self, engine: Any, batchdata: dict[str, torch.Tensor]) -> dict[str, float]:
        image = torch.as_tensor(batchdata["image"]).to(engine.state.device, non_blocking=engine.non_blocking)
        if self.augmentation is not None:
            image = self.augmentation(image, generator=self.random)
        latent_dim = int(self.encoder.latent_dim)  # type: ignore[arg-type]
        prior = torch.randn(len(image), latent_dim, generator=self.random).to(image)
        with_images = engine.state.epoch > self.warmup_epochs
        autocast = torch.autocast(engine.state.device.type, enabled=self.amp, **self.amp_kwargs)

        with autocast:
            terms, code, images = self._autoencoder_terms(image, prior, with_images=with_images)
        self._descend(["encoder", "generator"], terms["loss"])
        output = {f"autoencoder_{name}": value.item() for name, value in terms.items()}

        if with_images:
            with autocast:
                reconstruction, sample = images
                terms = self.loss.image_discriminator(
                    self.image_discriminator, image, reconstruction, sample, generator=self.random
                )
            self._descend(["image_discriminator"], terms["loss"])
            output |= {f"image_discriminator_{name}": value.item() for name, value in terms.items()}

        with autocast:
            terms = self.loss.code_discriminator(self.code_discriminator, code, prior, generator=self.random)
        self._descend(["code_discriminator"], terms["loss"])
        output |= {f"code_discriminator_{name}": value.item() for name, value in terms.items()}
        self.grad_scaler.update()
        if distributed.is_initialized():
            buffers = [b for network in self.networks().values() for b in network.buffers() if b.is_floating_point()]
            _average_over_processes(buffers)
        return output

    def _autoencoder_terms(
        self, image: torch.Tensor, prior: torch.Tensor, *, with_images: bool
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the objective of E and G, the codes, and (reconstruction, sample) for D to learn from."""
        critics = [self.image_discriminator, self.code_discriminator]
        for critic in critics:
            critic.requires_grad_(False)
        code = self.encoder(image)
        code_score = self.code_discriminator(code)
        if with_images:
            reconstruction, sample = self.generator(torch.cat([code, prior.to(code.dtype)])).chunk(2)
            scores = self.image_discriminator(torch.cat([reconstruction, sample])).chunk(2)
            terms = self.loss.autoencoder(image, reconstruction, code_score, *scores)
            images: tuple[torch.Tensor, ...] = (reconstruction.detach(), sample.detach())
        else:
            terms = self.loss.autoencoder(image, self.generator(code), code_score, None, None)
            images = ()
        for critic in critics:
            critic.requires_grad_(True)
        return terms, code.detach(), images


def _average_over_processes(tensors: Sequence[torch.Tensor]) -> None:
    """Replace every tensor by its mean over processes, with one message for all."""
    if not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
