"""One timeline: a file's own times, clocks and codes become seconds from the recording's start, and a report of it."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import table
from encoders.recordings.annotations.sheet import Mark, Sheet
from encoders.recordings.timeline import DAY_S, Alignment, Event, Scoring, StageSpan, clock
from encoders.vocabulary import EPOCH_S, EVENTS, KINDS, STAGES

GRIDS_S: Final = (30.0, 20.0, 10.0, 5.0, 4.0, 2.0, 1.0)  # epoch lengths in use; 30 s is the AASM's
_CODE: Final = re.compile(r"(?:stage ')?(?:[A-Z]?[^A-Z\s]{0,2}\d\S*|[a-z_]+)'?")  # no name of a person looks like it
_NEAR_S: Final = 1e-6
_TURN_S: Final = 30.0  # a longer "position change" is the time spent in the position, and its start the turn
_SLACK_S: Final = 3600.0  # a file that begins or ends within this time of the recording belongs to its night


class EmbeddedAnnotation(Protocol):
    """An EDF+ annotation inside the recording: seconds on the recording's timeline."""

    @property
    def onset_s(self) -> float: ...
    @property
    def duration_s(self) -> float | None: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RecordingClock:
    """What annotations need to know of a recording.

    duration_s: end of the last sample, gaps included. start_clock_s: seconds since midnight, None when the header has
    no real clock. start: date and time, used to lay files side by side, never shown. segments: stretches with samples.
    embedded: EDF+ annotations of the recording's own files.
    """

    duration_s: float
    start_clock_s: float | None = None
    start: datetime | None = field(default=None, repr=False)
    segments: tuple[tuple[float, float], ...] = ()
    embedded: tuple[EmbeddedAnnotation, ...] = field(default=(), repr=False)


def nearest_day(elapsed_s: float, duration_s: float) -> float:
    """A difference of two clocks, shifted by whole days to where it lies in, or nearest to, `[0, duration_s]`."""
    elapsed_s %= DAY_S
    return elapsed_s - DAY_S if elapsed_s > duration_s and elapsed_s - duration_s > DAY_S - elapsed_s else elapsed_s


def _offset(sheet: Sheet, recording: RecordingClock) -> tuple[float, str]:
    """Seconds to add to the sheet's times, and why."""
    if sheet.zero == "recording":
        return 0.0, "times count from the recording's start"
    starts = [mark.start_s for mark in sheet.marks if not mark.is_clock]
    first, last = (min(starts), max(starts)) if starts else (0.0, 0.0)
    dated = None
    if sheet.start is not None and recording.start is not None:
        dated = (sheet.start - recording.start).total_seconds()
        if dated + first <= recording.duration_s + _SLACK_S and dated + last >= -_SLACK_S:
            return dated, "both files' start date and time"
    own = sheet.start_clock_s
    if own is None and sheet.start is not None:
        own = (sheet.start.hour * 60 + sheet.start.minute) * 60 + sheet.start.second + sheet.start.microsecond / 1e6
    if own is None or recording.start_clock_s is None:
        return 0.0, "no start clock in one of the files: both taken to start together"
    shift = nearest_day(own + first - recording.start_clock_s, recording.duration_s) - first
    return shift, "both files' start clock" + (" (their dates are days apart)" if dated is not None else "")


def _placed(sheet: Sheet, recording: RecordingClock, offset_s: float) -> Iterator[tuple[Mark, float | None]]:
    for mark in sheet.marks:
        if not mark.is_clock:
            yield mark, mark.start_s + offset_s
        elif recording.start_clock_s is None:
            yield mark, None
        else:
            yield mark, nearest_day(mark.start_s - recording.start_clock_s, recording.duration_s)


def _grid_s(lengths_s: Sequence[float]) -> float:
    """The longest usual epoch of which nine in ten stage lengths are multiples; 30 s where there is none.

    The last length is left out, since recordings end anywhere; a few odd ones are partial epochs, not another grid.
    """
    lengths = np.array(lengths_s[:-1] or [EPOCH_S])
    fits = (grid for grid in GRIDS_S if np.mean(np.abs(lengths - np.round(lengths / grid) * grid) < 1e-3) >= 0.9)
    return next(fits, EPOCH_S)


@dataclass(slots=True)
class _Tally:
    """What was cut at the recording's ends."""

    before: int = 0
    after: int = 0
    clipped: int = 0

    def clip(self, start_s: float, stop_s: float, duration_s: float) -> tuple[float, float] | None:
        """The part inside `[0, duration_s]`; None, counted, where there is none."""
        if stop_s <= _NEAR_S and (stop_s > start_s or start_s < -_NEAR_S):
            self.before += 1
            return None
        if start_s >= duration_s - _NEAR_S:
            self.after += 1
            return None
        inside = min(max(start_s, 0.0), duration_s), min(max(stop_s, 0.0), duration_s)
        self.clipped += abs(inside[0] - start_s) > _NEAR_S or abs(inside[1] - stop_s) > _NEAR_S
        return inside

    def words(self, what: str, duration_s: float) -> list[str]:
        return [
            text
            for count, text in (
                (self.before, f"{self.before} {what} before the recording's start"),
                (self.after, f"{self.after} {what} after the recording's end at {clock(duration_s)}"),
                (self.clipped, f"{self.clipped} {what} partly outside the recording, the part inside kept"),
            )
            if count
        ]


def _epochs(
    spans: list[tuple[float, float, str, str]], epoch_s: float, duration_s: float, tally: _Tally
) -> list[StageSpan]:
    """Run-length stages as one span per epoch, cut to the recording; a run's last piece may be shorter."""
    kept: list[StageSpan] = []
    for start, stop, stage, raw in spans:
        pieces = max(1, math.ceil((stop - start) / epoch_s - 1e-6))
        low = min(pieces, max(0, math.floor(-start / epoch_s + 1e-9)))
        high = min(pieces, max(low, math.ceil((duration_s - start) / epoch_s - 1e-9)))
        tally.before += low
        tally.after += pieces - high
        for i in range(low, high):
            piece = start + i * epoch_s, min(stop, start + (i + 1) * epoch_s)
            if inside := tally.clip(*piece, duration_s):
                kept.append(StageSpan(*inside, stage, raw))
    return kept


def _unknown_words(unknown: Counter[str], free_text: bool) -> tuple[str, ...]:
    """`name x count`, commonest first; free text that occurs once may name a person: it is counted, codes are named."""
    said = {text for text, count in unknown.items() if count > 1 or not free_text or _CODE.fullmatch(text)}
    named = [f"{text[:60]} x {count}" for text, count in unknown.most_common() if text in said]
    seldom = len(unknown) - len(said)
    return (*named, *([f"other single notes x {seldom}"] if seldom else []))


def lay(sheet: Sheet, recording: RecordingClock, *, cohort: str | None = None) -> Scoring:
    """Lay a sheet over its recording: stages one span per epoch, events named, all clipped to `[0, duration_s]`.

    A code unknown in its format is counted in `alignment.unknown`, and an unscored epoch where it stood for a stage.
    Raises UnreadableAnnotations when stage spans overlap so much that they cannot be one night.
    """
    codes = sheet.codes or sheet.source
    offset_s, reason = _offset(sheet, recording)
    duration_s = recording.duration_s
    unknown: Counter[str] = Counter()
    notes = list(sheet.skipped)
    spans: list[tuple[float, float | None, str, str]] = []
    events: list[Event] = []
    lights: dict[str, list[float]] = {"off": [], "on": []}
    lost = 0
    tally = _Tally()
    for mark, start_s in _placed(sheet, recording, offset_s):
        stage = sheet.own_codes.get(mark.text) or table.stage_of(codes, mark.text, in_column=mark.is_stage)
        length_s = mark.duration_s
        if length_s == math.inf:
            length_s = max(0.0, duration_s - (start_s or 0.0))
        if start_s is None:
            lost += 1
        elif stage is not None or mark.is_stage:
            if stage is None:
                unknown[f"stage {mark.text!r}"] += 1
            spans.append((start_s, length_s or None, stage or "unscored", mark.text))
        elif switch := table.lights_of(mark.text):
            lights[switch].append(start_s)
        elif name := table.event_of(codes, mark.text, cohort):
            if name == "position change" and (length_s or 0.0) > _TURN_S:
                length_s = 0.0
            inside = tally.clip(start_s, start_s + (length_s or 0.0), duration_s)
            if inside:
                events.append(Event(name, *inside, mark.text, mark.channel, mark.spo2_min_pct))
        elif not table.is_ignored(mark.text):
            unknown[mark.text] += 1
    if lost:
        notes.append(f"{lost} marks give a time of day, but the recording has no start clock")

    # A stage without duration holds until the next one (EDF+ hypnograms of some recorders); the last lasts one epoch.
    spans.sort(key=lambda span: span[0])
    starts = sorted({span[0] for span in spans})
    held = sum(span[1] is None for span in spans)
    following = dict(itertools.pairwise(starts))
    fixed = [
        (a, a + d if d is not None else following.get(a, a + (sheet.epoch_s or EPOCH_S)), s, r) for a, d, s, r in spans
    ]
    if held:
        notes.append(f"{held} stages without duration hold until the next")
    epoch_s = sheet.epoch_s or _grid_s([b - a for a, b, _, _ in fixed])
    if (
        sum(min(b, duration_s) - max(a, 0.0) for a, b, _, _ in fixed if a < duration_s and b > 0)
        > 5 * duration_s + _SLACK_S
    ):
        raise UnreadableAnnotations(
            f"{sheet.path.name if sheet.path else 'annotations'}: stages overlap, more than five times the recording's "
            f"{clock(duration_s)}; give one scorer's hypnogram."
        )
    stage_tally = _Tally()
    stages = _epochs(fixed, epoch_s, duration_s, stage_tally)
    notes += stage_tally.words("stage epochs", duration_s) + tally.words("events", duration_s)

    scored = Counter(EVENTS[event.name] for event in events if EVENTS[event.name])
    coverage = {kind: f"{scored[kind]} events present" for kind in KINDS if scored[kind]}
    if any(span.stage != "unscored" for span in stages):
        coverage["stages"] = f"{len(stages)} epochs"
    coverage = {
        kind: sheet.scope.get(kind) or coverage[kind] for kind in KINDS if kind in sheet.scope or kind in coverage
    }
    rules, why = table.rules_of(codes, [raw for _, _, _, raw in fixed]) if fixed else ("unknown", "")
    if sheet.rules:
        rules, why = sheet.rules, "the file says so"
    return Scoring(
        source=sheet.source,
        files=(sheet.path,) if sheet.path else (),
        scorer=sheet.scorer,
        rules=rules,
        epoch_s=epoch_s,
        stages=tuple(stages),
        events=tuple(sorted(events, key=lambda event: (event.start_s, event.stop_s))),
        coverage=coverage,
        lights_off_s=_inside(lights["off"][:1], duration_s),
        lights_on_s=_inside(lights["on"][-1:], duration_s),
        alignment=Alignment(
            offset_s=offset_s,
            reason="; ".join([reason, *sheet.notes, *([f"rules {rules}: {why}"] if fixed else [])]),
            stage_count=len(stages),
            event_count=len(events),
            cut=tuple(notes),
            unknown=_unknown_words(unknown, sheet.free_text),
        ),
        repairs=tuple(sheet.repairs),
        regridded=bool(stages) and epoch_s != EPOCH_S,
    )


def _inside(times_s: list[float], duration_s: float) -> float | None:
    return next((min(max(time, 0.0), duration_s) for time in times_s if -_SLACK_S < time < duration_s + _SLACK_S), None)


def _shares(scoring: Scoring, start_s: NDArray[np.float64], epoch_s: float) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Seconds of each stage in each epoch `(n, len(STAGES))`, time without any stage as unscored, and the raw codes."""
    seconds = np.zeros((len(start_s), len(STAGES)))
    longest = np.zeros((len(start_s), len(STAGES)))
    raw = np.full((len(start_s), len(STAGES)), "", dtype=object)
    for span in scoring.stages:
        column = STAGES.index(span.stage)
        low = int(np.searchsorted(start_s, span.start_s - epoch_s, side="right"))
        high = int(np.searchsorted(start_s, span.stop_s, side="left"))
        for i in range(low, high):
            overlap = min(span.stop_s, start_s[i] + epoch_s) - max(span.start_s, start_s[i])
            seconds[i, column] += overlap
            if overlap > longest[i, column]:
                longest[i, column], raw[i, column] = overlap, span.raw
    seconds[:, STAGES.index("unscored")] += np.maximum(epoch_s - seconds.sum(axis=1), 0.0)
    return seconds, raw


def stage_on_grid(
    scoring: Scoring, start_s: NDArray[np.float64], epoch_s: float = EPOCH_S
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The stage of each epoch and its raw code, object arrays `(n,)`, by majority of time.

    start_s: `(n,)` ascending seconds. Time without a stage counts as `unscored`; a tie (to a millisecond) goes to the
    stage that stands first in `vocabulary.STAGES` (W before N1 before N2 ...), so that a night always reads the same.
    """
    seconds, raw = _shares(scoring, np.asarray(start_s, dtype=np.float64), epoch_s)
    winner = np.round(seconds, 3).argmax(axis=1)
    return np.array(STAGES, dtype=object)[winner], raw[np.arange(len(winner)), winner]


def stage_fraction(scoring: Scoring, start_s: NDArray[np.float64], epoch_s: float = EPOCH_S) -> NDArray[np.float64]:
    """The share `(n,)` of each epoch that its majority stage holds: 1 on the scored grid, less where mapped."""
    seconds, _ = _shares(scoring, np.asarray(start_s, dtype=np.float64), epoch_s)
    share: NDArray[np.float64] = seconds.max(axis=1) / epoch_s
    return share
