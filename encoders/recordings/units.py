"""Units of EDF headers: the factor to the canonical unit, or the sentence why there is none."""

import unicodedata
from collections.abc import Mapping
from typing import Final

# A blank voltage unit is told by the largest value that the header can express: nobody's EEG, EOG, EMG or ECG amplifier
# spans less than 0.05 V or, in volts, more; none spans less than 20 uV.
_VOLTS_BELOW: Final = 0.05
_MILLIVOLTS_BELOW: Final = 20.0
_FRACTION_BELOW: Final = 1.5  # a saturation channel that cannot express 2 % holds fractions of one


def fold_unit(text: str) -> str:
    """A unit's text with letter case, spaces and the two micro signs made equal."""
    return "".join(unicodedata.normalize("NFKC", text).split()).casefold().replace("\u03bc", "u")


def scale_to(
    target: str, factors: Mapping[str, float], text: str, physical_min: float, physical_max: float
) -> tuple[float, str, str]:
    """Factor that turns header units into `target`, the unit then reached, and what had to be inferred ("" if nothing).

    `factors` maps folded unit texts to factors; `target` "" leaves samples in the header's own unit. Raises ValueError,
    with the reason in words, when the header's unit is not one of the target's kind.
    """
    if not target:
        return 1.0, text, ""
    unit, largest = fold_unit(text), max(abs(physical_min), abs(physical_max))
    if target == "%" and (unit in factors or not unit) and 0 < largest <= _FRACTION_BELOW:
        return 100.0, target, f"fractions of one (physical range {physical_min:g} to {physical_max:g}), taken times 100"
    if unit in factors:
        return factors[unit], target, ""
    if unit:
        raise ValueError(f"its unit is {text!r}, not {target} or a multiple of it")
    if target in ("uV", "mV"):
        assumed = "V" if largest <= _VOLTS_BELOW else "mV" if largest <= _MILLIVOLTS_BELOW else "uV"
    else:
        assumed = target
    why = f"no unit in the header: {assumed} inferred from the physical range {physical_min:g} to {physical_max:g}"
    return factors[fold_unit(assumed)], target, why
