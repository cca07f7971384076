"""Membership inference: can somebody who holds the synthetic cohort tell who was in the training data?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.membership_views import (
    ENCODER_ATTACK,
    ENCODER_ROW_ATTACK,
    VIEWS,
    MembershipView,
    RealPatients,
    membership_views,
    rare_patients,
    real_patients,
)
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import (
    CrossFittedAttack,
    Estimate,
    attack_auroc_estimate,
    attack_curve,
    attack_true_positive_estimate,
    learned_attack,
    patient_halves,
    patient_scores,
    strongest_attack,
)

__all__ = ["membership_findings", "suspected_patients"]

STRONGEST, BLIND = "strongest", "blind"
OUTLIERS = 0.1
FALSE_POSITIVES = 0.1
_ARMED = {ENCODER_ATTACK, ENCODER_ROW_ATTACK}
_WHAT = {"image": "image", "table": "clinical row", "record": "image and clinical row"}
_HOW = {
    "closest": "minus the distance to the closest synthetic record",
    "ratio": "distance to the closest other real patient over that to the closest synthetic record",
    "neighbourhood": "synthetic records within a radius, nearer ones count more (Monte Carlo)",
    "density ratio": "density of synthetic over density of other real patients' records (DOMIAS)",
    "texture ratio": "ratio attack on untrained convolution features",
    "pixel correlation": "highest pixel correlation with a synthetic image, moved or mirrored, less that with others",
    "matches": "columns equal in one synthetic row, rare values count more, less those equal in another patient's",
    "residual": "ratio attack on what the image shows beyond what its row predicts",
    ENCODER_ATTACK: "normal likelihood of the generator's encoder's code: synthetic moments over all real patients'",
    ENCODER_ROW_ATTACK: "normal likelihood of the encoder's code and row: synthetic moments over all real patients'",
    "classifier": "linear classifier of all these scores, learned on the other half of the patients",
    STRONGEST: "the attack that was strongest on the other half of the patients",
    BLIND: "linear classifier of the real records alone, learned on the other half; it sees no synthetic record",
}


def membership_findings(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return membership_auroc and membership_tpr_at_fpr10 per view, attack and stratum, and the curves.

    Training patients are members, held-out patients are not. The lines with attack ``strongest`` are the result; the
    others show single attacks, where the best of them is best partly by luck. The attack ``blind`` sees no synthetic
    record: where it succeeds, training and held-out patients differ by themselves and the split is not random.

    Args:
        train: patients the generator was fitted on.
        holdout: patients it never saw.
        synthetic: the cohort that is judged.
        seed: of halves, shuffles and samples.
    """
    real = real_patients(train, holdout, seed=seed)
    if min(len(np.unique(real.groups[real.member == side])) for side in (True, False)) < 2:
        views = [MembershipView(name, reason="both sides need more than one patient") for name in VIEWS]
    else:
        views = membership_views(real, synthetic, seed=seed)
    metrics: list[MetricRecord] = []
    curves: dict[str, Any] = {}
    rare = rare_patients(real)
    for view in views:
        audit = _Audit(view, real, rare, synthetic.name, seed)
        metrics += audit.absent() if view.reason else audit.records()
        if not view.reason and audit.curve:
            curves[view.name] = audit.curve
    return Findings(metrics, {"membership_roc": curves})


def suspected_patients(
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: JudgedCohort,
    *,
    view: str = "record",
    attack: str = "neighbourhood",
    seed: int = 0,
) -> pd.Series:
    """Return how strongly the synthetic cohort points at each real patient, most suspicious first.

    Args:
        train: patients the generator was fitted on.
        holdout: patients it never saw.
        synthetic: the cohort that is judged.
        view: ``image``, ``table`` or ``record``.
        attack: one of the attacks of that view, but the learned ones.
        seed: decides who is left out of a large cohort.

    Returns:
        Mean place of the patient's records among all real records, 0 to 1, indexed by ``(role, patient)``.

    Raises:
        ValueError: if the view cannot be attacked or has no such attack.
    """
    real = real_patients(train, holdout, seed=seed)
    found = next((entry for entry in membership_views(real, synthetic, seed=seed) if entry.name == view), None)
    if found is None or attack not in found.scores:
        known = list(found.scores) if found else list(VIEWS)
        raise ValueError(
            f"no attack {attack!r} on view {view!r}: {found.reason if found else ''} choose among {known}."
        )
    patients, scores = patient_scores(found.scores[attack], real.groups)
    names = {"a": real.sides[0].role, "b": real.sides[1].role}
    index = pd.MultiIndex.from_tuples([(names[name[0]], name[2:]) for name in patients], names=["role", "patient"])
    return pd.Series(scores, index=index, name=attack).sort_values(ascending=False, kind="stable")


class _Audit:
    """Turns the scores of one view into records and a curve."""

    def __init__(
        self, view: MembershipView, real: RealPatients, rare: tuple[np.ndarray, str], cohort: str, seed: int
    ) -> None:
        self.view, self.real, self.rare, self.cohort, self.seed = view, real, rare, cohort, seed
        self.curve: dict[str, Any] = {}

    def absent(self) -> list[MetricRecord]:
        """Return both figures without a value."""
        nothing = Estimate.absent(f"not estimable because {self.view.reason}")
        return self._pair((nothing, nothing), STRONGEST, "all")

    def records(self) -> list[MetricRecord]:
        """Return the lines of every attack, and of the strongest one in every stratum."""
        member, groups = self.real.member, self.real.groups
        strata = self._strata()
        codes = 2 * strata["outlier decile"][0] + strata["rare findings"][0]
        halves = patient_halves(member, groups, strata=codes, seed=self.seed)
        strongest, learned = strongest_attack(self.view.scores, member, groups, halves, seed=self.seed)
        blind = learned_attack(self.view.blind, member, groups, halves, seed=self.seed)
        every = np.ones(len(groups), dtype=bool)
        differs = self._estimates(blind, every, halves)
        lines = self._pair(differs, BLIND, "all")
        note = ""
        # Below one half nothing was learned: each half's luck points the wrong way in the other.
        if differs[0].low is not None and differs[0].low > 0.5:
            note = (
                "training and held-out patients differ even without the synthetic records (attack blind: "
                f"{differs[0].value:.2f}), so part of this may be the split and not the generator"
            )
        used = " and ".join(dict.fromkeys(strongest.chosen))
        luck = f"shuffled membership does as well in {100 * strongest.chance:.1f} % of shuffles"
        for stratum, (rows, rule) in strata.items():
            found = self._estimates(strongest, rows, halves)
            remark = "; ".join(filter(None, [luck if stratum == "all" else "", note]))
            lines += self._pair(found, STRONGEST, stratum, used=used, rule=rule, note=remark)
            if stratum == "all" and found[0].value is not None:
                self._draw(strongest, halves, used, found[0].value)
        for name, scores in self.view.scores.items():
            lines += self._pair(self._estimates(scores, every, None), name, "all")
        return lines + self._pair(self._estimates(learned, every, halves), "classifier", "all")

    def _estimates(
        self, attack: CrossFittedAttack | np.ndarray, rows: np.ndarray, halves: np.ndarray | None
    ) -> tuple[Estimate, Estimate]:
        fitted = isinstance(attack, CrossFittedAttack)
        scores = attack.scores if isinstance(attack, CrossFittedAttack) else attack
        member, groups = self.real.member[rows], self.real.groups[rows]
        parts = halves[rows] if fitted and halves is not None else None
        correlation = attack.correlation if isinstance(attack, CrossFittedAttack) else 0.0
        auroc = attack_auroc_estimate(
            scores[rows], member, groups, parts=parts, correlation=correlation, seed=self.seed
        )
        found = attack_true_positive_estimate(
            scores[rows],
            member,
            groups,
            false_positive_rate=FALSE_POSITIVES,
            parts=parts,
            correlation=correlation,
            seed=self.seed,
        )
        return auroc, found

    def _strata(self) -> dict[str, tuple[np.ndarray, str]]:
        """Return who belongs to each stratum and the rule; membership plays no part in either."""
        groups = self.real.groups
        names, codes = np.unique(groups.astype(str), return_inverse=True)
        far = np.bincount(codes, weights=self.view.atypical) / np.bincount(codes)
        outliers = far >= np.quantile(far, 1 - OUTLIERS)
        rule = f"the tenth of {len(names)} real patients that lies farthest from the others"
        return {
            "all": (np.ones(len(groups), dtype=bool), ""),
            "outlier decile": (outliers[codes], rule),
            "rare findings": self.rare,
        }

    def _draw(self, attack: CrossFittedAttack, halves: np.ndarray, used: str, value: float) -> None:
        false, true = attack_curve(attack.scores, self.real.member, self.real.groups, parts=halves)
        self.curve = {
            "fpr": [round(float(rate), 4) for rate in false],
            "tpr": [round(float(rate), 4) for rate in true],
            "attack": used,
            "auroc": value,
        }

    def _pair(
        self,
        estimates: tuple[Estimate, Estimate],
        attack: str,
        stratum: str,
        *,
        used: str = "",
        rule: str = "",
        note: str = "",
    ) -> list[MetricRecord]:
        """Return membership_auroc and membership_tpr_at_fpr10 of one attack in one stratum."""
        what = _WHAT[self.view.name]
        among = f" Among {rule}." if rule else ""
        percent = ["" if found.value is None else f"{100 * found.value:.0f} %" for found in estimates]
        seen = "without seeing the synthetic cohort" if attack == BLIND else "who holds the synthetic cohort"
        if {attack, *(self.view.scores if attack in (STRONGEST, "classifier") else ())} & _ARMED:
            seen += " and the generator's encoder"
        readings = (
            f"Given the {what} of a training patient and of a stranger, an attacker {seen} names the right one in "
            f"{percent[0]} of cases; guessing gives 50 %.{among}",
            f"An attacker {seen} and accepts one false accusation in ten finds {percent[1]} of the training patients "
            f"by their {what}; guessing finds 10 %.{among}",
        )
        how = _HOW[attack] + (f" (chosen: {used})" if used else "")
        crossed = "; mean of both halves, which hang together by their correlation under shuffled membership"
        crossed = crossed if attack in (STRONGEST, BLIND, "classifier") else ""
        estimators = (
            f"{how}{crossed}; interval: the wider of a bootstrap over patients and the score interval",
            f"{how}{crossed}; Clopper-Pearson on patients, their number reduced for the uncertain threshold, which is "
            "set on the held-out patients",
        )
        return [
            MetricRecord.of(
                found,
                cohort=self.cohort,
                family="privacy",
                name=name,
                better="lower",
                dimensions={"view": self.view.name, "attack": attack, "stratum": stratum},
                floor=floor,
                ceiling=1.0,
                reading=reading,
                estimator=estimator,
                note=note if found.value is not None else "",
            )
            for found, name, floor, reading, estimator in zip(
                estimates,
                ("membership_auroc", "membership_tpr_at_fpr10"),
                (0.5, FALSE_POSITIVES),
                readings,
                estimators,
                strict=True,
            )
        ]
