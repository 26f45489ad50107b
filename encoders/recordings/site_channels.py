"""A site's own word on its labels: `channels.toml` beside the recordings.

    cohort = "mesa"                      # use this cohort's table (optional)
    [labels]                             # label in the header = canonical channel ("ignore" leaves it out)
    "Flow" = "nasal_pressure"
    [derive]                             # canonical channel = "PLUS - MINUS", both as the header writes them
    eeg_c3_m2 = "C3 - A2"
    [position]                           # code in the position channel = right, left, supine, prone or upright
    0 = "supine"

The nearest file counts, in the recording's folder or the two above it (a ResMed card keeps nights in DATALOG/<night>).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from encoders.errors import BadInput
from encoders.recordings.channel_table import load_table, parse_derivation, read_codes

NAME: Final = "channels.toml"
_KEYS: Final = ("cohort", "labels", "derive", "position")


@dataclass(frozen=True, slots=True)
class SiteChannels:
    """What a site says: its cohort, `overrides` as `resolve_montage` takes them, and its position codes."""

    cohort: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    position_codes: Mapping[int, str] | None = None

    def as_options(self) -> dict[str, Any]:
        """What `open_recording` takes of it, by name."""
        return {"cohort": self.cohort, "overrides": self.overrides, "position_codes": self.position_codes}


def load_site_channels(path: Path) -> SiteChannels:
    """Read one file; BadInput, with the key at fault and what would be accepted, when it cannot be used."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path}: not readable as TOML ({error})") from None
    table = load_table()
    for key in raw:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, 1)
            raise BadInput(f"{path}: unknown key {key!r}{f', did you mean {near[0]!r}?' if near else ''}")
    cohort = raw.get("cohort")
    if cohort is not None:
        table.require_cohort(str(cohort))
    overrides: dict[str, str] = {}
    for section in ("labels", "derive", "position"):
        entries = raw.get(section, {})
        if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
            raise BadInput(f'{path}: [{section}] holds lines of the form key = "text"')
    for label, canonical in raw.get("labels", {}).items():
        overrides[label] = table.require_canonical(canonical, f"{path}: [labels] {label!r}")
    for canonical, text in raw.get("derive", {}).items():
        parse_derivation(text, f"{path}: [derive] {canonical}")
        overrides[table.require_canonical(canonical, f"{path}: [derive]")] = text
    codes = read_codes(raw["position"], f"{path}: [position]") if raw.get("position") else None
    return SiteChannels(cohort, overrides, codes)


def find_site_channels(recording: Path) -> Path | None:
    """The `channels.toml` that speaks for a recording: in its folder, or in one of the two folders above."""
    folders = recording.absolute().parents[:3]
    return next((path for folder in folders if (path := folder / NAME).is_file()), None)
