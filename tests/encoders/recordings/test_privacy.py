"""Stems that show a person or a date become keyed hashes; study codes stay as they are."""

import pytest

from encoders.recordings.privacy import private_id, shows_person


@pytest.mark.parametrize(
    "stem",
    [
        "Smith_John", "DUPONT Marie 1970-01-02", "Smith, John", "anna_berg", "müller hans", "O'Neil_Pat",
        "Jean-Luc Picard",
        "Smith1961", "19700102", "p12_02.01.1970", "20241017_221849_BRP", "PSG_Smith_John_2",
    ],
)  # fmt: skip
def test_names_and_dates_are_seen(stem: str) -> None:
    assert shows_person(stem)


@pytest.mark.parametrize(
    "stem",
    [
        "SC4001E0-PSG", "ST7011J0-PSG", "learn-nsrr01", "tr03-0005", "sub-1_task-Sleep_acq-psg_eeg", "mesa-sleep-0001",
        "mros-visit1-aa0001", "shhs1-200001", "chat-baseline-300001", "ucddb018", "short_psg_5min_SC-style", "subject1",
        "night_01", "healthy_control", "Sleep_EDF", "Night2019", "STNF00001", "PSG 010203", "12345678", "n1",
        "sim_mesa_0001",
    ],
)  # fmt: skip
def test_study_codes_are_kept(stem: str) -> None:
    assert private_id(stem, b"key") == (stem, False)


def test_a_hash_is_stable_for_one_key_and_says_nothing() -> None:
    hashed, was = private_id("Smith_John", b"key")
    assert was and hashed.startswith("id-") and "mith" not in hashed
    assert private_id("Smith_John", b"key")[0] == hashed
    assert private_id("Smith_John", b"other")[0] != hashed
    assert private_id("Smith_Jane", b"key")[0] != hashed
