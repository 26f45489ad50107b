"""What makes an epoch relevant: the conditions of held.toml, held against the truth of the nights."""

import operator
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.vocabulary import EPOCH_S
from questions.facts import FACTS, fact
from questions.nights import TrueNight

OVERLAP_S = 3.0  # an event is in an epoch that shares so much with it, or half of the event
COMPARED = {"above": operator.gt, "at_least": operator.ge, "below": operator.lt, "at_most": operator.le}
PARTS = {
    "first third": (0, 1 / 3), "second third": (1 / 3, 2 / 3), "last third": (2 / 3, 1), "first half": (0, 1 / 2),
    "second half": (1 / 2, 1), "first quarter": (0, 1 / 4), "last quarter": (3 / 4, 1),
}  # fmt: skip
Rule = Mapping[str, Any]
Mask = NDArray[np.bool_]


class Rules:
    """The nights that questions are asked of; conditions are answered per night, as one flag an epoch."""

    def __init__(self, nights: Sequence[TrueNight]) -> None:
        self.nights = {night.recording: night for night in nights}
        self._fact = cache(lambda name: {r: fact(night, name) for r, night in self.nights.items()})

    def relevant(self, rules: Sequence[Rule]) -> dict[str, Mask]:
        """By recording the epochs that hold all of `rules`; none where the list is empty."""
        return {recording: self.holding(night, rules) for recording, night in self.nights.items()}

    def holding(self, night: TrueNight, rules: Sequence[Rule]) -> Mask:
        """The epochs of one night that hold all of `rules`, `BadInput` for a condition that there is not."""
        if not rules:
            return np.zeros(night.epochs.height, bool)
        return np.logical_and.reduce([self._one(night, rule) for rule in rules])

    def _one(self, night: TrueNight, rule: Rule) -> Mask:
        n = night.epochs.height
        match rule:
            case {"stage": wanted} | {"position": wanted}:
                (column,) = rule
                return night.epochs[column].is_in(list(wanted)).to_numpy()
            case {"event": names}:
                return _events(night, names, rule)
            case {"measure": column}:
                return _compared(night.epochs[column].cast(pl.Float64).fill_null(np.nan).to_numpy(), rule)
            case {"subject": column, "is": wanted}:
                return np.full(n, night.subject[column] in wanted)
            case {"subject": column}:
                return np.full(n, _compared(np.float64(night.subject[column]), rule))
            case {"night": name}:
                return np.full(n, self._night(night, name, rule))
            case {"pair": [first, second], "within_s": within_s}:
                return _pairs(night, first, second, within_s)
            case {"unpaired": [first, second], "within_s": within_s}:
                spans = night.spans(first)
                alone = spans[~_follows(spans, night.spans(second), within_s).any(axis=1)]
                return _in_any(night, alone)
            case {"part": name}:
                start, stop = night.sleep_period_s
                low, high = (start + share * (stop - start) for share in PARTS[name])
                return _between(night, low, high)
            case {"first_min": minutes}:
                return _between(night, night.sleep_period_s[0], night.sleep_period_s[0] + 60 * minutes)
            case {"last_min": minutes}:
                return _between(night, night.sleep_period_s[1] - 60 * minutes, night.sleep_period_s[1])
            case {"clock": [start, stop]}:
                return _by_clock(night, start, stop)
            case {"before_first": stage} | {"after_first": stage}:
                at = np.flatnonzero(night.stages == stage)
                before = np.arange(n) < (at[0] if at.size else 0)
                return before if "before_first" in rule else ~before & bool(at.size)
            case {"run": least, "of": rules}:
                bouts = [(a, b) for a, b in night.bouts(self.holding(night, rules)) if b - a >= least * EPOCH_S]
                return _in_any(night, np.array(bouts, float).reshape(-1, 2))
            case {"not": other}:
                return ~self._one(night, other)
            case {"any": others}:
                return np.logical_or.reduce([self._one(night, other) for other in others])
        raise BadInput(f"no such condition: {dict(rule)}; the head of held.toml lists what there is.")

    def _night(self, night: TrueNight, name: str, rule: Rule) -> bool:
        if name not in FACTS:
            raise BadInput(f"no fact of a night is called {name!r}; there are: {', '.join(FACTS)}.")
        values = self._fact(name)
        value = values[night.recording]
        for end, sign in (("top", -1), ("bottom", 1)):
            if end in rule:
                known = sorted(sign * x for x in values.values() if not np.isnan(x))
                count = rule[end] if rule[end] >= 1 else max(1, round(rule[end] * len(known)))
                return bool(known) and sign * value <= known[int(count) - 1 if count <= len(known) else -1]
        return bool(_compared(np.float64(value), rule))


def _compared(values: Any, rule: Rule) -> Any:
    """Whether the values stand to the rule's numbers as it says; NaN never does."""
    named = [name for name in COMPARED if name in rule]
    if not named:
        raise BadInput(f"{dict(rule)}: nothing is compared; possible are {', '.join(COMPARED)}.")
    return np.logical_and.reduce([COMPARED[name](values, rule[name]) & ~np.isnan(values) for name in named])


def _events(night: TrueNight, names: Sequence[str], rule: Rule) -> Mask:
    length = pl.col("stop_s") - pl.col("start_s")
    chosen = night.events.filter(
        pl.col("name").is_in(list(names)),
        *([length >= rule["longer_s"]] if "longer_s" in rule else []),
        *([length < rule["shorter_s"]] if "shorter_s" in rule else []),
        *([pl.col("drop_pct") > rule["drop_above"]] if "drop_above" in rule else []),
        *([pl.col("drop_pct") < rule["drop_below"]] if "drop_below" in rule else []),
        *([pl.col("spo2_min_pct") < rule["nadir_below"]] if "nadir_below" in rule else []),
        *([pl.col("cause").is_in(list(rule["cause"]))] if "cause" in rule else []),
    )
    return _count_in(night, chosen.select("start_s", "stop_s").to_numpy()) >= rule.get("at_least_n", 1)


def _count_in(night: TrueNight, spans: NDArray[np.float64]) -> NDArray[np.int64]:
    spans = spans.reshape(-1, 2)
    return (night.shared_s(spans) >= np.minimum(OVERLAP_S, np.diff(spans).ravel() / 2)).sum(axis=1)


def _in_any(night: TrueNight, spans: NDArray[np.float64]) -> Mask:
    return _count_in(night, spans) > 0


def _follows(first: NDArray[np.float64], second: NDArray[np.float64], within_s: float) -> Mask:
    """`(n first, n second)`: the second starts after the first does, at most `within_s` after its end."""
    start = second[None, :, 0]
    return (start > first[:, None, 0]) & (start <= first[:, None, 1] + within_s)


def _pairs(night: TrueNight, first: str | Sequence[str], second: str | Sequence[str], within_s: float) -> Mask:
    befores, afters = night.spans(first), night.spans(second)
    of, to = np.nonzero(_follows(befores, afters, within_s))
    before, after = befores[of], afters[to]
    # Of what is longer than an epoch, the part that is near the other.
    before = np.stack([np.maximum(before[:, 0], before[:, 1] - EPOCH_S), before[:, 1]], axis=1)
    after = np.stack([after[:, 0], np.minimum(after[:, 1], after[:, 0] + EPOCH_S)], axis=1)
    return _in_any(night, before) | _in_any(night, after)


def _between(night: TrueNight, start_s: float, stop_s: float) -> Mask:
    return (night.starts_s >= start_s) & (night.starts_s < stop_s)


def _by_clock(night: TrueNight, start: str, stop: str) -> Mask:
    low, high = (int(h) * 3600 + int(m) * 60 for h, m in (text.split(":") for text in (start, stop)))
    now = (night.starts_s + night.start_clock_s) % 86400
    return (now >= low) & (now < high) if low < high else (now >= low) | (now < high)
