"""The words of a night: epoch grid, channels, stages, event names and what a scorer can have scored.

Names follow the AASM manual; the montage is SleepLM's ten channels in its order plus SpO2 and heart rate.
"""

from types import MappingProxyType
from typing import Final

EPOCH_S: Final = 30.0
RATE_HZ: Final = 64.0
EPOCH_SAMPLES: Final = 1920

CHANNELS: Final = (
    "ECG", "ABD", "THX", "AF", "EOG_L", "EOG_R", "EEG_C3", "EEG_C4", "EMG_CHIN", "POS", "SPO2", "HR",
)  # fmt: skip
STEP_CHANNELS: Final = frozenset({"POS", "SPO2", "HR"})  # held between samples, never filtered

STAGES: Final = ("W", "N1", "N2", "N3", "REM", "NREM", "unscored")
SLEEP_STAGES: Final = ("N1", "N2", "N3", "REM", "NREM")

# POS carries SleepLM's codes, so that one number means one position in every model.
POSITIONS: Final = MappingProxyType({0: "right", 1: "left", 2: "supine", 3: "prone", 4: "upright"})

# What an annotation source can have scored; everything said about events rests on one of these being covered.
KINDS: Final = ("stages", "arousals", "respiratory events", "desaturations", "limb movements")

# Event name -> the kind that answers questions about it; None: noted when seen, never a negative.
EVENTS: Final = MappingProxyType({
    "apnea": "respiratory events",  # type not given by the source: counts in an AHI, answers no question of type
    "obstructive apnea": "respiratory events",
    "central apnea": "respiratory events",
    "mixed apnea": "respiratory events",
    "hypopnea": "respiratory events",
    "obstructive hypopnea": "respiratory events",
    "central hypopnea": "respiratory events",
    "mixed hypopnea": "respiratory events",
    "unsure": None,  # a hypopnea only in the cohorts that document it
    "RERA": None,  # many sites score apneas and hypopneas without ever scoring RERAs
    "desaturation": "desaturations",
    "arousal": "arousals",
    "limb movement": "limb movements",
    "periodic limb movement": "limb movements",
    "snoring": None,
    "Cheyne-Stokes breathing": None,
    "periodic breathing": None,
    "hypoventilation": None,
    "respiratory paradox": None,
    "bradycardia": None,
    "tachycardia": None,
    "arrhythmia": None,
    "position change": None,
    "artifact": None,
})  # fmt: skip

APNEAS: Final = ("apnea", "obstructive apnea", "central apnea", "mixed apnea")
HYPOPNEAS: Final = ("hypopnea", "obstructive hypopnea", "central hypopnea", "mixed hypopnea")
