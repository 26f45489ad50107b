"""The sleepers: age, sex, build, illness, and the traits that shape each of their nights."""

from dataclasses import dataclass

import numpy as np

from encoders.simulation.draws import constants, stream


@dataclass(frozen=True, slots=True)
class Subject:
    """A simulated person; rates are per hour of sleep, gains are factors around 1."""

    id: str
    age_years: int
    sex: str  # "F" | "M"
    bmi_kg_m2: float
    diagnosis: str
    severity: str  # none | mild | moderate | severe, by the AHI that was aimed at
    ahi_per_hour: float
    apnea_share: float  # of the respiratory events, the rest are hypopneas
    central_share: float  # of the apneas
    rera_per_hour: float
    cheyne_stokes: bool  # waxes and wanes in NREM sleep, with central apneas between
    plm_per_hour: float
    ectopic_per_hour: float  # premature beats
    snoring: float  # 0 to 1
    heart_rate_bpm: float
    heart_variability: float
    breathing_per_min: float
    spo2_pct: float
    desaturation_gain: float
    circulation_s: float
    slow_wave_gain: float
    alpha_gain: float
    spindle_hz: float
    wake_gain: float
    nights: int


def draw_subject(seed: int, index: int) -> Subject:
    """The subject of that index under that seed, whoever else is drawn."""
    rng, facts = stream(seed, "subject", index), constants("people")
    shares = facts["severity_shares"]
    severity = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    # Sleep apnea is commoner in men and with weight, so illness is drawn first and the body to fit it; figures ours.
    rank = list(shares).index(severity)
    sex = "M" if rng.random() < (0.45, 0.55, 0.65, 0.7)[rank] else "F"
    age = int(np.clip(rng.normal(48 + 3 * rank, 16), *facts["age_years"]))
    bmi = float(np.clip(rng.normal(24.5 + 2.0 * rank, 3.2), 18, 48))
    central = severity in ("moderate", "severe") and rng.random() < facts["central_share_of_patients"]
    # With age the heart varies less, slow waves shrink and wake grows; the directions are textbook, the sizes ours.
    decades = (age - 25) / 10
    return Subject(
        id=f"sim-{index + 1:04d}",
        age_years=age,
        sex=sex,
        bmi_kg_m2=round(bmi, 1),
        diagnosis="none" if severity == "none" else "central sleep apnea" if central else "obstructive sleep apnea",
        severity=severity,
        ahi_per_hour=float(rng.uniform(*facts["ahi_per_hour"][severity])),
        apnea_share=float(rng.uniform(*((0.05, 0.2), (0.15, 0.4), (0.25, 0.55), (0.4, 0.8))[rank])),
        central_share=float(rng.uniform(0.7, 0.95) if central else rng.uniform(0.0, 0.12)),
        rera_per_hour=float(rng.exponential((2.0, 4.0, 5.0, 4.0)[rank])),
        cheyne_stokes=bool(central and rng.random() < 0.5),
        ectopic_per_hour=float(rng.lognormal(np.log(0.3 + 0.01 * max(age - 30, 0) ** 1.5), 1.2)),
        plm_per_hour=float(rng.uniform(15, 50)) if rng.random() < facts["periodic_movers_share"] else 0.0,
        snoring=float(np.clip(rng.normal(0.25 + 0.2 * rank, 0.15), 0, 1)),
        heart_rate_bpm=float(np.clip(rng.normal(61 + 3 * (sex == "F") + 0.2 * (bmi - 25), 6), 46, 84)),
        heart_variability=float(np.clip(1.3 - 0.1 * decades + rng.normal(0, 0.1), 0.4, 1.5)),
        breathing_per_min=float(rng.uniform(*constants("breathing")["rate_per_min"])),
        spo2_pct=float(np.clip(97.0 - 0.2 * decades - 0.05 * max(bmi - 25, 0) + rng.normal(0, 0.4), 92.5, 98.0)),
        desaturation_gain=float(np.clip((0.8 + 0.03 * (bmi - 25) + 0.15 * rank) * rng.lognormal(0, 0.25), 0.5, 2.6)),
        circulation_s=float(rng.uniform(*constants("breathing")["circulation_s"])),
        slow_wave_gain=float(np.clip(1.15 - 0.08 * decades + rng.normal(0, 0.08), 0.6, 1.4)),
        alpha_gain=float(rng.lognormal(0.0, 0.3)),
        spindle_hz=float(rng.normal(13.2, 0.35)),
        wake_gain=float(np.clip((0.75 + 0.12 * decades) * rng.lognormal(0, 0.25), 0.4, 2.2)),
        nights=2 if rng.random() < facts["several_nights_share"] else 1,
    )
