"""The three objectives of an alphaGAN, in its adversarial and its Wasserstein form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from .gradient_penalty import GradientPenaltyLoss

__all__ = ["AlphaGanLoss"]

Critic = Callable[[torch.Tensor], torch.Tensor]


class AlphaGanLoss(nn.Module):
    """What E and G, the image discriminator D, and the code discriminator C each minimise.

    ``kind="alphagan"`` uses the non-saturating logistic loss; ``kind="alphawgan_gp"`` Wasserstein critics with
    gradient penalties. All images are ``(B, C, S, S[, S])`` in [-1, 1], all codes ``(B, latent_dim)``, all results
    dictionaries of scalars whose ``"loss"`` is to be minimised.

    Args:
        kind: ``"alphagan"`` or ``"alphawgan_gp"``.
        reconstruction_weight: weight of the L1 term, 10 in the paper.
        image_weight: weight of the two terms by which D teaches G. 1 in the paper.
        code_weight: weight of the term by which C teaches E. 1 in the paper.
        penalty_weight: weight of each gradient penalty, 10 in the paper.
        spectral_weight: weight of the squared difference of Fourier amplitudes between image and reconstruction.
            Differs from the paper, which has no such term (0): L1 alone blurs, because fine detail whose place is
            uncertain costs less when it is left out; amplitudes say how much of it there is, wherever it lies.

    Raises:
        ValueError: if ``kind`` is unknown.

    Source:
        Rosca et al. 2017, https://arxiv.org/abs/1706.04987; Kwon et al. 2019, https://arxiv.org/abs/1908.02498.
        Differs from an early version of the latter, which swaps prior and posterior in the loss of C.
    """

    def __init__(
        self,
        kind: str = "alphagan",
        *,
        reconstruction_weight: float = 10.0,
        image_weight: float = 1.0,
        code_weight: float = 1.0,
        penalty_weight: float = 10.0,
        spectral_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if kind not in ("alphagan", "alphawgan_gp"):
            raise ValueError(f"kind is {kind!r}; choose 'alphagan' or 'alphawgan_gp'.")
        self.kind = kind
        self.reconstruction_weight = reconstruction_weight
        self.image_weight = image_weight
        self.code_weight = code_weight
        self.penalty_weight = penalty_weight
        self.spectral_weight = spectral_weight
        self.penalty = GradientPenaltyLoss()

    def _as_real(self, score: torch.Tensor) -> torch.Tensor:
        return functional.softplus(-score).mean() if self.kind == "alphagan" else -score.mean()

    def _as_fake(self, score: torch.Tensor) -> torch.Tensor:
        return functional.softplus(score).mean() if self.kind == "alphagan" else score.mean()

    def autoencoder(
        self,
        image: torch.Tensor,
        reconstruction: torch.Tensor,
        code_score: torch.Tensor,
        reconstruction_score: torch.Tensor | None,
        sample_score: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        """Return the objective of E and G.

        Args:
            image: real images.
            reconstruction: G(E(image)).
            code_score: C(E(image)), ``(B, 1)``; it reaches E only, since C sees no image.
            reconstruction_score: D(G(E(image))), ``(B, 1)``; None leaves D out (a warm-up).
            sample_score: D(G(z)), ``(B, 1)``; None leaves D out (a warm-up).
        """
        terms = {"l1": functional.l1_loss(reconstruction, image), "code": self._as_real(code_score)}
        loss = self.reconstruction_weight * terms["l1"] + self.code_weight * terms["code"]
        if self.spectral_weight:
            terms["spectrum"] = functional.mse_loss(_amplitudes(reconstruction), _amplitudes(image))
            loss = loss + self.spectral_weight * terms["spectrum"]
        if reconstruction_score is not None and sample_score is not None:
            terms["image"] = self._as_real(reconstruction_score) + self._as_real(sample_score)
            loss = loss + self.image_weight * terms["image"]
        return {"loss": loss, **terms}

    def image_discriminator(
        self,
        discriminator: Critic,
        image: torch.Tensor,
        reconstruction: torch.Tensor,
        sample: torch.Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the objective of D: real, weighted twice, against reconstruction and sample."""
        fake_score = discriminator(torch.cat([reconstruction, sample]).detach())
        # the mean over both halves, doubled, is the sum of the two fake terms
        loss = 2 * (self._as_real(discriminator(image)) + self._as_fake(fake_score))
        if self.kind == "alphagan":
            return {"loss": loss}
        penalty = self.penalty(discriminator, image, reconstruction, generator=generator) + self.penalty(
            discriminator, image, sample, generator=generator
        )
        return {"loss": loss + self.penalty_weight * penalty, "penalty": penalty}

    def code_discriminator(
        self,
        discriminator: Critic,
        code: torch.Tensor,
        prior: torch.Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the objective of C: the prior is real, E(image) is fake; C learns from both."""
        loss = self._as_real(discriminator(prior)) + self._as_fake(discriminator(code.detach()))
        if self.kind == "alphagan":
            return {"loss": loss}
        penalty = self.penalty(discriminator, prior, code, generator=generator)
        return {"loss": loss + self.penalty_weight * penalty, "penalty": penalty}


def _amplitudes(images: torch.Tensor) -> torch.Tensor:
    """Return Fourier amplitudes over space, in full precision also under autocast.

    MONAI's ``JukeboxLoss`` takes the root of a sum of squares, whose gradient is not a number where an amplitude is 0,
    as in images with an even background; ``abs`` has the gradient 0 there.
    """
    return torch.fft.fftn(images.float(), dim=tuple(range(2, images.ndim)), norm="ortho").abs()
