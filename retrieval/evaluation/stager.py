"""YASA's stager on the recordings of a sample, as an encoder's figures are held against it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from encoders.errors import BadInput
from encoders.vocabulary import CHANNELS
from retrieval.evaluation.sample import Sample
from retrieval.yasa_stages import INSTALL, about, installed, stage_night

__all__ = ["INSTALL", "YASA", "Staged", "installed", "yasa_stages"]

YASA = "YASA"


@dataclass(frozen=True, slots=True)
class Staged:
    """YASA's stage of each row of a sample, None where it had none; `montages` counts nights by what they were staged
    from; `why` the nights that it could not stage, by reason."""

    stages: list[str | None]
    montages: dict[str, int]
    why: dict[str, int]

    def words(self) -> str:
        """What it was given, for a figure's note."""
        said = [f"from {montage} (nights: {count})" for montage, count in self.montages.items()]
        return "; ".join([*said, *(f"not staged: {reason} (nights: {count})" for reason, count in self.why.items())])


def yasa_stages(sample: Sample, sensors: Sequence[str] | None = None) -> Staged:
    """Every recording of the sample staged whole from its files.

    With `sensors`, from none but these, and without age and sex: as much as an encoder is shown of that subset.
    `BadInput` where there are no files behind the sample.
    """
    if sample.cohort is None:
        raise BadInput("these epochs have no files behind them: draw them from a cohort to stage them with YASA.")
    frame = sample.frame
    stages: list[str | None] = [None] * frame.height
    montages: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for (name,), rows in frame.with_row_index("row").group_by("recording", maintain_order=True):
        recording = sample.cohort.recording(str(name))
        usable = {slot: int(rows[f"ok_{slot.lower()}"].fill_null(False).sum()) for slot in sensors or CHANNELS}
        person = about(rows["age"][0], rows["sex"][0]) if sensors is None else None
        try:
            said, slots = stage_night(recording, rows["start_s"].to_numpy(), usable, person)
        except BadInput as reason:
            why[str(reason)] += 1
            continue
        montages[" + ".join([*slots, *(["age and sex"] if person else [])])] += 1
        for row, stage in zip(rows["row"], said, strict=True):
            stages[row] = stage
    return Staged(stages, dict(montages), dict(why))
