"""Programs that stage: their stages are kept as the scorer `auto:<name>`, beside those of people and never before them.

A scorer is a function `(recording, epochs, subject) -> stages`: one of `vocabulary.STAGES` an epoch, None where it has
no answer; `subject` is the row of the subjects' CSV. It raises `BadInput` for a night that it can't stage. A package
adds its own by an entry point of the group `sleepsearch.scorers`, whose name is what `--score` takes:

    [project.entry-points."sleepsearch.scorers"]
    mine = "my_package:stage"
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points, version

import numpy as np

from encoders.errors import BadInput
from encoders.recordings import Epochs, Recording
from encoders.recordings.timeline import Alignment, Scoring, StageSpan
from encoders.vocabulary import CHANNELS, EPOCH_S, STAGES
from retrieval.yasa_stages import INSTALL, about, installed, stage_night

GROUP = "sleepsearch.scorers"
NONE = "none"  # what `--score` takes for: no program, and what one said before is dropped
StageScorer = Callable[[Recording, Epochs, Mapping[str, object]], Sequence[str | None]]


def yasa(recording: Recording, epochs: Epochs, subject: Mapping[str, object]) -> list[str | None]:
    """Stages by YASA, from the EEG, EOG and chin EMG usable in most epochs; age and sex where both are known."""
    if not installed():
        raise BadInput(INSTALL)
    usable = {channel: int(epochs.present[:, i].sum()) for i, channel in enumerate(CHANNELS)}
    person = about(subject.get("age"), subject.get("sex"))
    return stage_night(recording, np.asarray(epochs.start_s, np.float64), usable, person)[0]


def find_scorer(name: str) -> tuple[StageScorer, str]:
    """The scorer of that name, and which version of what it is; `BadInput` where there is none, or not installed."""
    if name == "yasa":
        if not installed():
            raise BadInput(INSTALL)
        return yasa, f"yasa {version('yasa')}"
    others = {point.name: point for point in entry_points(group=GROUP)}
    if name not in others:
        names = ["yasa", *others]
        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BadInput(f"--score {name!r}: no such scorer; {hint}Known: {', '.join(names)}, or {NONE!r} to drop it.")
    package = others[name].dist
    return others[name].load(), f"{name} {package.version}" if package else name


def score_stages(name: str, recording: Recording, epochs: Epochs, subject: Mapping[str, object]) -> Scoring:
    """What that scorer says of a night, on the grid of its epochs; `BadInput` says in one line why it can't.

    Epochs without an answer stay unscored. It scores stages alone: no event is a negative.
    """
    try:
        scorer, source = find_scorer(name)
        said = list(scorer(recording, epochs, subject))
        if len(said) != len(epochs.start_s) or not set(said) <= {*STAGES, None}:
            accepted = f"{len(epochs.start_s)} stages of {', '.join(STAGES)} or None"
            raise BadInput(
                f"it gave {len(said)} answers, {sorted({str(s) for s in said} - {*STAGES})}; wanted {accepted}"
            )
    except Exception as error:  # noqa: BLE001  another's code: whatever goes wrong costs the stages, not the night
        reason = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        raise BadInput(f"not staged by {name}: {' '.join(reason.split())[:300]}") from None
    spans = tuple(
        StageSpan(start_s, start_s + EPOCH_S, stage, stage)
        for start_s, stage in zip(epochs.start_s.tolist(), said, strict=True)
        if stage not in (None, "unscored")
    )
    if not spans:
        raise BadInput(f"not staged by {name}: no epoch that it had an answer for")
    why = Alignment(0.0, f"staged from the signals by {source}, on the grid of the epochs", len(spans))
    return Scoring(
        source, (), f"auto:{name}", "AASM", EPOCH_S, spans, coverage={"stages": f"by {source}"}, alignment=why
    )
