"""A site's channels.toml: what it may say, where it is found, and how its errors read."""

from pathlib import Path

import pytest

from encoders.errors import BadInput
from encoders.recordings.site_channels import find_site_channels, load_site_channels


def test_a_site_says_cohort_labels_derivations_and_codes(tmp_path: Path) -> None:
    path = tmp_path / "channels.toml"
    path.write_text(
        'cohort = "mesa"\n[labels]\n"Flow" = "nasal_pressure"\n'
        '[derive]\neeg_c3_m2 = "C3 - A2"\n[position]\n0 = "supine"\n'
    )
    site = load_site_channels(path)
    assert site.cohort == "mesa"
    assert site.overrides == {"Flow": "nasal_pressure", "eeg_c3_m2": "C3 - A2"}
    assert site.position_codes == {0: "supine"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cohort = [", "not readable as TOML"),
        ('cohort = "mezza"', "did you mean 'mesa'"),
        ("label = 1", "unknown key 'label', did you mean 'labels'"),
        ('[labels]\n"Flow" = 3', r"\[labels\] holds lines"),
        ('[labels]\n"Flow" = "nasal"', "'nasal' is no canonical channel"),
        ('[derive]\neeg_c3_m2 = "C3-A2"', "not written PLUS - MINUS"),
        ('[position]\n0 = "up"', "one of right, left"),
    ],
)
def test_an_error_names_the_line_and_what_would_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "channels.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=message) as error:
        load_site_channels(path)
    assert "channels.toml" in str(error.value) and "\n" not in str(error.value)


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    recording = tmp_path / "a" / "b" / "night.edf"
    recording.parent.mkdir(parents=True)
    assert find_site_channels(recording) is None
    (tmp_path / "channels.toml").touch()
    assert find_site_channels(recording) == tmp_path / "channels.toml"
    (recording.parent / "channels.toml").touch()
    assert find_site_channels(recording) == recording.parent / "channels.toml"
