"""The sleepers: age, sex, build, illness, and the traits that shape each of their nights."""

from dataclasses import dataclass, replace

import numpy as np

from encoders.simulation.draws import constants, stream


@dataclass(frozen=True, slots=True)
class Subject:
    """A simulated person; rates are per hour of sleep, gains and factors are around 1."""

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
    rem_event_factor: float  # respiratory events in REM against NREM sleep
    supine_event_factor: float  # on the back against other positions
    plm_per_hour: float
    arousal_gain: float  # of spontaneous arousals, beside what age does
    ectopic_per_hour: float  # premature beats
    snoring: float  # 0 to 1
    heart_rate_bpm: float
    heart_variability: float
    breathing_per_min: float
    spo2_pct: float
    desaturation_gain: float
    circulation_s: float
    slow_wave_gain: float  # amplitude
    alpha_gain: float
    spindle_hz: float
    # Architecture, against the mean sleeper of the fitted nights: how much wake, N1, N3 and REM, the latencies of sleep
    # and of REM, and how often breathing or movements wake the sleeper.
    wake_gain: float
    n1_gain: float
    n3_gain: float
    rem_gain: float
    latency_gain: float
    rem_latency_gain: float
    fragmentation: float
    nights: int


def draw_subject(seed: int, index: int) -> Subject:
    """The subject of that index under that seed, whoever else is drawn."""
    rng, facts = stream(seed, "subject", index), constants("people")
    shares = facts["severity_shares"]
    severity = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    # Illness is drawn first, and the body to fit it.
    rank, breath = list(shares).index(severity), facts["breathing"]
    central = severity in ("moderate", "severe") and rng.random() < breath["central_share_of_patients"]
    cheyne_stokes = bool(central and rng.random() < breath["cheyne_stokes_share_of_central"])
    men = breath["central_men_share"] if central else facts["men_share_by_severity"][rank]
    sex = "M" if rng.random() < men else "F"
    older, leaner = (breath["central_older_years"], breath["central_leaner_kg_m2"]) if central else (0, 0.0)
    age = int(np.clip(rng.normal(facts["age_mean_by_severity"][rank] + older, facts["age_sd"]), *facts["age_years"]))
    bmi = round(float(np.clip(rng.normal(facts["bmi_mean_by_severity"][rank] - leaner, facts["bmi_sd"]), 17, 52)), 1)
    plm = _plm(rng, age, sex)
    return Subject(
        id=f"sim{seed}-{index + 1:04d}", age_years=age, sex=sex, bmi_kg_m2=bmi,
        diagnosis="none" if severity == "none" else "central sleep apnea" if central else "obstructive sleep apnea",
        severity=severity,
        ahi_per_hour=float(rng.uniform(*facts["ahi_per_hour"][severity])),
        central_share=float(rng.uniform(0.7, 0.95) if central else rng.uniform(0.0, 0.12)),
        cheyne_stokes=cheyne_stokes,
        plm_per_hour=plm,
        nights=1 + int(rng.choice(len(facts["nights_shares"]), p=facts["nights_shares"])),
        **_breathing(rng, age, sex, bmi, rank, cheyne_stokes),
        **_heart(rng, age, sex, bmi),
        **_brain(rng, age, sex),
        **_architecture(rng, age, sex, rank, plm),
    )  # fmt: skip


def tonight(rng: np.random.Generator, subject: Subject, night: int) -> Subject:
    """The subject as they are in their night of that number, from 0: rates vary, and the first night is the worst."""
    facts = constants("people")
    ahi_sd, plm_sd = facts["breathing"]["ahi_night_log_sd"], facts["movement"]["plm_night_log_sd"]
    # The shift by half the variance keeps the mean over nights the person's.
    ahi = subject.ahi_per_hour * float(rng.lognormal(-(ahi_sd**2) / 2, ahi_sd))
    plm = subject.plm_per_hour * float(rng.lognormal(-(plm_sd**2) / 2, plm_sd))
    later = facts["architecture"]["later_nights"] if night else {}
    changed = {name: getattr(subject, name) * factor for name, factor in later.items()}
    return replace(subject, ahi_per_hour=ahi, plm_per_hour=plm, **changed)


def _plm(rng: np.random.Generator, age: int, sex: str) -> float:
    facts = constants("people")["movement"]
    decades = (age - facts["movers_at_years"]) / 10
    if rng.random() < max(0.03, facts["movers_share"][sex] + facts["movers_share_per_decade"] * decades):
        return float(rng.uniform(*facts["plm_per_hour"]))
    return float(rng.uniform(*facts["few_per_hour"])) if rng.random() < facts["few_share"] else 0.0


def _breathing(
    rng: np.random.Generator, age: int, sex: str, bmi: float, rank: int, cheyne_stokes: bool
) -> dict[str, float]:
    facts, how = constants("people")["breathing"], constants("breathing")
    (rem, rem_sd), (supine, supine_sd) = facts["rem_event_factor"], facts["supine_event_factor"]
    rem *= facts["rem_factor_by_severity"][rank] * (facts["rem_factor_women"] if sex == "F" else 1.0)
    spo2, spo2_sd = facts["spo2_pct"]
    spo2 += facts["spo2_per_decade"] * (age - 25) / 10 + facts["spo2_per_bmi"] * max(bmi - 25, 0)
    desaturation = facts["desaturation_by_severity"][rank] + facts["desaturation_per_bmi"] * (bmi - 25)
    return {
        "apnea_share": float(rng.uniform(*facts["apnea_share_by_severity"][rank])),
        "rera_per_hour": float(rng.exponential(facts["rera_mean_per_hour_by_severity"][rank])),
        "rem_event_factor": float(rem * rng.lognormal(0, rem_sd)),
        "supine_event_factor": float(
            supine * facts["supine_factor_by_severity"][rank] * rng.lognormal(0, supine_sd)
        ),
        "snoring": float(np.clip(rng.normal(facts["snoring_by_severity"][rank], 0.15), 0, 1)),
        "breathing_per_min": float(rng.uniform(*how["rate_per_min"])),
        "spo2_pct": float(np.clip(rng.normal(spo2, spo2_sd), 92.5, 98.0)),
        "desaturation_gain": float(np.clip(desaturation * rng.lognormal(0, facts["desaturation_log_sd"]), 0.5, 2.6)),
        "circulation_s": float(rng.uniform(*how["circulation_s"])) + cheyne_stokes * facts["circulation_longer_s"],
    }  # fmt: skip


def _heart(rng: np.random.Generator, age: int, sex: str, bmi: float) -> dict[str, float]:
    facts = constants("people")["heart"]
    rate, rate_sd = facts["rate_bpm"]
    rate += facts["rate_women_bpm"] * (sex == "F") + facts["rate_per_bmi"] * (bmi - 25)
    variability = facts["variability_at_15"] + facts["variability_per_decade"] * (age - 15) / 10
    ectopic = facts["ectopic_per_hour"] * facts["ectopic_per_decade"] ** ((age - 35) / 10)
    return {
        "heart_rate_bpm": float(np.clip(rng.normal(rate, rate_sd), *facts["rate_range_bpm"])),
        "heart_variability": float(np.clip(rng.normal(variability, facts["variability_sd"]), 0.4, 1.6)),
        "ectopic_per_hour": float(
            min(rng.lognormal(np.log(ectopic), facts["ectopic_log_sd"]), facts["ectopic_most_per_hour"])
        ),
    }


def _brain(rng: np.random.Generator, age: int, sex: str) -> dict[str, float]:
    facts = constants("people")["brain"]
    slow = facts["slow_wave_at_25"] + facts["slow_wave_per_decade"] * (age - 25) / 10
    slow += facts["slow_wave_women"] * (0.5 if sex == "F" else -0.5)
    pitch, pitch_sd = facts["spindle_hz"]
    return {
        "slow_wave_gain": float(np.clip(rng.normal(slow, facts["slow_wave_sd"]), 0.45, 1.5)),
        "alpha_gain": float(rng.lognormal(0.0, facts["alpha_log_sd"])),
        "spindle_hz": float(rng.normal(pitch + facts["spindle_hz_per_decade"] * (min(age, 45) - 35) / 10, pitch_sd)),
        "arousal_gain": float(rng.lognormal(0, facts["arousal_log_sd"])),
    }  # fmt: skip


def _architecture(rng: np.random.Generator, age: int, sex: str, rank: int, plm: float) -> dict[str, float]:
    facts, fitted = constants("people")["architecture"], constants("hypnogram")
    mean = facts["reference"]
    decades, woman = (age - mean["age_years"]) / 10, sex == "F"

    def own(stage: str) -> float:
        """What the person has more or less of a stage than others of the same age, sex and illness."""
        sd = fitted["spread"][stage][0] / (2 * facts["response"][stage])
        return float(rng.lognormal(-(sd**2) / 2, sd))

    wake = 1 + facts["waso_min_per_decade"] * decades / mean["waso_min"]
    n3_pct = facts["n3_pct_per_decade"][sex] * decades + facts["n3_pct_more_in_women"] * (0.5 if woman else -0.5)
    rem = 1 + facts["rem_pct_per_decade"] * decades / mean["rem_pct"]
    latency_min = float(np.median(fitted["latency_min"]))
    return {
        "wake_gain": max(0.2, wake) * own("wake"),
        "n1_gain": facts["n1_by_severity"][rank] * own("n1"),
        "n3_gain": max(0.15, 1 + n3_pct / mean["n3_pct"]) * facts["n3_by_severity"][rank] * own("n3"),
        "rem_gain": rem * facts["rem_by_severity"][rank] * own("rem"),
        "latency_gain": 1 + facts["latency_min_per_decade"] * decades / latency_min,
        "rem_latency_gain": (facts["rem_latency_women"] if woman else 1)
        * (1 + facts["rem_latency_per_decade"] * decades),
        "fragmentation": facts["fragmentation_by_severity"][rank] * (facts["movers_fragmentation"] if plm > 15 else 1),
    }
