"""Under which terms a synthesizer is fitted with differential privacy, and what may be stated of it afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["PrivacyTerms"]

UNIT = "one patient with all records, added or removed"
LIMITS = (
    "covers this fit alone: further fits on the same patients add up; computed with floating-point numbers, against "
    "whose rounding nothing is done"
)


@dataclass(frozen=True)
class PrivacyTerms:
    """The budget, and what the user declares to be public.

    Args:
        epsilon: of differential privacy; infinity fits without noise and states nothing.
        delta: far below one over the number of patients. It is fixed beforehand: one computed from the cohort would
            tell its size.
        public_schema: that the schema's columns, limits and categories were written without looking at these patients.
        encoder_is_public: that none of these patients was in the data of encoder and generator.
        noise_seed: for tests; nothing is stated then.
    """

    epsilon: float
    delta: float
    public_schema: bool
    encoder_is_public: bool
    noise_seed: int | None = None

    def check(self, *, num_patients: int, has_latents: bool) -> None:
        """Refuse a fit of which no epsilon could be stated.

        Raises:
            ValueError: naming what is to be declared or changed.
        """
        if self.epsilon is None:
            raise ValueError("epsilon is None; give the privacy budget, such as epsilon=3, or fit without privacy.")
        if not self.public_schema:
            raise ValueError(
                "public_schema is False: ranges and categories are taken from the schema without noise, and a schema "
                "that was inferred shows what these patients have. Write its limits and enums from what is plausible, "
                "then set public_schema=True."
            )
        if has_latents and not self.encoder_is_public:
            raise ValueError(
                "encoder_is_public is False: an encoder that was trained on these patients carries them past every "
                "noise. If neither it nor the generator saw one of them, set encoder_is_public=True; else train both "
                "on other images."
            )
        if self.delta >= 1 / max(num_patients, 1):
            raise ValueError(
                f"delta is {self.delta:g} for {num_patients} patients, which allows to publish one of them; take less "
                f"than {1 / max(num_patients, 1):.2g}, best less than a tenth of it."
            )

    def statement(self, mechanism: str, *, has_latents: bool) -> dict[str, Any]:
        """Return what artifact and manifest say; where no epsilon can be stated it is null, with the reason."""
        public = ["schema: columns, limits, categories"]
        if has_latents:
            public.append("encoder and generator, and directions in their latent space")
        reason = None
        if self.noise_seed is not None:
            reason = "the noise was drawn from a fixed seed, so that it can be subtracted"
        elif not math.isfinite(self.epsilon):
            reason = "fitted without noise"
        return {
            "epsilon": self.epsilon if reason is None else None,
            "delta": self.delta if reason is None else None,
            **({} if reason is None else {"why_no_epsilon": reason}),
            "unit": UNIT,
            "mechanism": mechanism,
            "assumed_public": public,
            **({"encoder": "declared public; not compared with its images"} if has_latents else {}),
            "limits": LIMITS,
        }
