"""Units of headers, scaled to the canonical one; a blank one is inferred aloud, a foreign one refused."""

import pytest

from encoders.recordings.channel_table import load_table
from encoders.recordings.units import scale_to


def scale(target: str, text: str, low: float, high: float) -> tuple[float, str, str]:
    return scale_to(target, load_table().factors[target], text, low, high)


@pytest.mark.parametrize(
    ("target", "text", "factor"),
    [
        ("uV", "uV", 1), ("uV", "µV", 1), ("uV", "μV", 1), ("uV", "UV", 1), ("uV", "mV", 1e3), ("uV", "V", 1e6),
        ("mV", "V", 1e3), ("mV", "uV", 1e-3), ("%", "%", 1), ("1/min", "bpm", 1), ("L/s", "L/min", 1 / 60),
        ("cmH2O", "cm H2O", 1),
    ],
)  # fmt: skip
def test_a_stated_unit_is_scaled(target: str, text: str, factor: float) -> None:
    assert scale(target, text, -3000, 3000) == (pytest.approx(factor), target, "")


@pytest.mark.parametrize(("high", "factor"), [(0.003, 1e6), (5, 1e3), (3276, 1)])
def test_a_blank_voltage_unit_is_told_by_the_range_and_said(high: float, factor: float) -> None:
    found, _, why = scale("uV", "", -high, high)
    assert found == factor
    assert "inferred" in why


@pytest.mark.parametrize("text", ["%", ""])
def test_saturation_in_fractions_becomes_per_cent(text: str) -> None:
    assert scale("%", text, 0, 1)[0] == 100
    assert scale("%", text, 0, 100)[0] == 1


@pytest.mark.parametrize(("target", "text"), [("uV", "bpm"), ("%", "mmHg"), ("1/min", "ms")])
def test_a_foreign_unit_is_refused_in_words(target: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"its unit is '{text}'"):
        scale(target, text, 0, 200)


def test_without_a_target_the_header_keeps_its_unit() -> None:
    assert scale_to("", {}, "cmH2O", -10, 10) == (1.0, "cmH2O", "")
