"""Facts as bits, and which claims hold of them."""

import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from encoders.captions import load_measures, score_epochs
from encoders.captions.scored import snake
from encoders.captions.wording import caption_epochs, load_wording
from encoders.recordings.timeline import Event, Scoring, StageSpan
from encoders.training.facts import INDEX, SLOTS, STAGE_LEVELS, Bits, all_of, claim, fact_bits, matches
from encoders.vocabulary import EVENTS, KINDS

LIGHT = {"stage": ("N1", "N2")}


def unmeasured(n: int, **columns: object) -> dict[str, np.ndarray]:
    text = ("position", "position_change", "substitutes", "hr_source", "hr_trends")
    table = {name: np.full(n, None, object) if name in text else np.full(n, np.nan) for name in load_measures()}
    return table | {name: np.array(values, table[name].dtype) for name, values in columns.items()}


def scoring(stages: list[str], events: list[tuple[str, float, float]], kinds: tuple[str, ...]) -> Scoring:
    spans = tuple(StageSpan(30.0 * i, 30.0 * i + 30, s, s) for i, s in enumerate(stages))
    named = tuple(Event(name, a, b, name) for name, a, b in events)
    return Scoring("test", (), "human", "AASM", 30.0, spans, named, dict.fromkeys(kinds, "declared"))


def facts(
    stages: list[str], events: list[tuple[str, float, float]], kinds: tuple[str, ...] = KINDS,
    noted: tuple[str, ...] = (), **measured: object,
) -> list[dict[str, str]]:  # fmt: skip
    """Each epoch's known levels by slot, in words."""
    n = len(stages)
    start_s = 30.0 * np.arange(n)
    scored = score_epochs(start_s, scoring(stages, events, kinds))
    grid = SimpleNamespace(start_s=start_s, present=np.ones((n, 12), bool))
    bits = fact_bits(unmeasured(n, **measured), scored, grid, noted=noted)
    assert bits.shape == (n, len(SLOTS)) and bits.dtype == np.uint32
    return [
        {
            slot.name: "/".join(level for k, level in enumerate(slot.levels) if value >> k & 1)
            for slot, value in zip(SLOTS, row.tolist(), strict=True)
            if value
        }
        for row in bits
    ]


def test_every_scale_event_and_group_has_one_slot_that_fits_a_byte() -> None:
    assert len(INDEX) == len(SLOTS)
    assert all(2 <= len(slot.levels) < 8 for slot in SLOTS)
    assert {scale["column"] for scale in load_wording()["scale"]} <= INDEX.keys()
    assert {snake(name) for name in EVENTS} | {"apnea_any", "respiratory", "stage", "position"} <= INDEX.keys()


def test_what_nobody_scored_or_measured_is_unknown() -> None:
    assert facts(["N2"], [], kinds=("stages",)) == [{"stage": "N2"}]
    assert facts(["unscored"], [], kinds=()) == [{}]


def test_unspecified_nrem_is_any_of_three_stages() -> None:
    assert facts(["NREM"], [], kinds=("stages",)) == [{"stage": "N1/N2/N3"}]


def test_an_event_is_there_from_three_seconds_on_and_absent_only_if_none_touches() -> None:
    events = [("central apnea", 28.0, 44.0), ("arousal", 55.0, 62.0)]
    first, second, third, fourth = facts(["N2"] * 4, events)
    assert "central_apnea" not in first and "apnea_any" not in first  # 2 s of it: who can say
    assert second["central_apnea"] == second["apnea_any"] == second["respiratory"] == "present"
    assert second["obstructive_apnea"] == "absent"
    assert second["arousal"] == "present" and "arousal" not in third
    assert fourth["arousal"] == fourth["central_apnea"] == "absent"


def test_a_short_event_that_lies_whole_in_an_epoch_is_there() -> None:
    assert facts(["N2"], [("limb movement", 10.0, 11.5)])[0]["limb_movement_any"] == "present"


def test_events_of_no_kind_are_absent_only_where_every_one_is_noted() -> None:
    events = [("Cheyne-Stokes breathing", 0.0, 30.0)]
    named = "cheyne_stokes_breathing"
    assert [row.get(named) for row in facts(["N2"] * 2, events)] == ["present", None]
    assert [row.get(named) for row in facts(["N2"] * 2, events, noted=("Cheyne-Stokes breathing",))] == [
        "present", "absent",
    ]  # fmt: skip


def test_a_night_without_periodic_movements_is_known_only_to_who_notes_each() -> None:
    events, named = [("limb movement", 2.0, 5.0)], "periodic limb movement"
    assert facts(["N2"], events)[0].get("periodic_limb_movement") is None
    assert facts(["N2"], events, noted=(named,))[0]["periodic_limb_movement"] == "absent"


def test_a_turn_is_scored_or_seen_by_the_position_sensor() -> None:
    rows = facts(
        ["N2"] * 3, [("position change", 60.0, 70.0)], position=["left", "left", None],
        position_change=["left to supine at 3 s", None, None],
    )  # fmt: skip
    assert [row.get("position_change") for row in rows] == ["present", "absent", "present"]


def test_levels_are_those_that_a_caption_says() -> None:
    """The slow way: a level is known where the caption of that column alone says one of that level's sentences."""
    rng = np.random.default_rng(5)
    n = 400
    grid = SimpleNamespace(start_s=30.0 * np.arange(n), present=np.ones((n, 12), bool))
    scored = score_epochs(grid.start_s, None)
    for scale in load_wording()["scale"]:
        low, high = scale["cuts"][0] - 1, scale["cuts"][-1] + 1
        values = np.where(rng.random(n) < 0.2, np.nan, rng.uniform(low, high, n))
        values[: len(scale["cuts"])] = scale["cuts"]
        table = unmeasured(n, **{scale["column"]: values})
        if "unless" in scale:
            table[scale["unless"].split()[0]][::3] = 1e9
        bits = fact_bits(table, scored, grid)[:, INDEX[scale["column"]]].tolist()
        said = [caption[scale["part"]] for caption in caption_epochs(table, scored, grid, numbers=False)]
        first = {say[0]: 1 << level for level, say in enumerate(scale["say"]) if say}
        if "unless" in scale:
            said = ["" if value is None else text for value, text in zip(bits, said, strict=True)]
        for value, text in zip(bits, said, strict=True):
            heard = [level for sentence, level in first.items() if sentence in text]
            silent = [1 << level for level, say in enumerate(scale["say"]) if not say]
            assert heard == [value] or (not heard and value in (0, *silent)), (scale["column"], text, value)
        assert len(set(bits)) == len(scale["cuts"]) + 2


def slow_match(bits: list[int], allowed: list[int]) -> float:
    worst = 1.0
    for known, mask in zip(bits, allowed, strict=True):
        if not mask:
            continue
        possible = {k for k in range(32) if known >> k & 1}
        said = {k for k in range(32) if mask >> k & 1}
        if possible and not possible & said:
            return 0.0
        if not possible or not possible <= said:
            worst = math.nan
    return worst


def test_matches_are_those_of_a_loop_over_every_slot() -> None:
    rng = np.random.default_rng(1)
    levels = np.array([len(slot.levels) for slot in SLOTS])
    bits = (1 << rng.integers(0, levels, (40, len(SLOTS)))).astype(np.uint32)
    bits[rng.random(bits.shape) < 0.2] = 0
    bits[:10, INDEX["stage"]] = 0b1110
    claims = rng.integers(1, 1 << levels, (70, len(SLOTS))).astype(np.uint32)
    claims[rng.random(claims.shape) < 0.96] = 0
    found = matches(bits, claims)
    slow = np.array([[slow_match(b, c) for c in claims.tolist()] for b in bits.tolist()], np.float32)
    assert found.dtype == np.float32 and np.array_equal(found, slow, equal_nan=True)
    assert {0.0, 1.0} < set(found[np.isfinite(found)]) | {-1.0} and np.isnan(found).any()


@pytest.mark.parametrize(
    ("stage", "said", "holds"),
    [("NREM", LIGHT, math.nan), ("NREM", {"stage": ("N1", "N2", "N3", "REM")}, 1), ("NREM", {"stage": ("W",)}, 0),
     ("N2", LIGHT, 1), ("N3", LIGHT, 0), ("unscored", LIGHT, math.nan)],
)  # fmt: skip
def test_a_stage_that_is_narrowed_down_holds_what_allows_all_of_it(
    stage: str, said: dict[str, tuple[str, ...]], holds: float
) -> None:
    scored = score_epochs(np.zeros(1), scoring([stage], [], ("stages",)))
    grid = SimpleNamespace(start_s=np.zeros(1), present=np.ones((1, 12), bool))
    found = matches(fact_bits(unmeasured(1), scored, grid), claim(said)[None])
    assert np.array_equal(found, [[holds]], equal_nan=True)


def test_a_false_part_outweighs_an_unknown_one() -> None:
    bits = np.zeros((1, len(SLOTS)), np.uint32)
    bits[0, INDEX["stage"]] = 1 << STAGE_LEVELS.index("REM")
    said = claim({"stage": ["N2"], "arousal": ["present"]})
    assert matches(bits, said[None]).tolist() == [[0.0]]


def test_claims_of_sentences_join_to_the_claim_of_their_text() -> None:
    parts: Bits = np.stack(
        [claim(LIGHT), claim({"stage": ("N2", "N3")}), claim({"arousal": ("absent",)}), claim(LIGHT)]
    )
    joined = all_of(parts, np.array([0, 3]))
    assert np.array_equal(joined, [claim({"stage": ("N2",), "arousal": ("absent",)}), claim(LIGHT)])


def test_frames_of_a_catalog_serve_as_measures() -> None:
    frame = pl.DataFrame({name: pl.Series(column, strict=False) for name, column in unmeasured(2).items()})
    frame = frame.with_columns(pl.Series("position", ["left", None]), pl.Series("delta_pct", [85.0, None]))
    grid = SimpleNamespace(start_s=30.0 * np.arange(2), present=np.ones((2, 12), bool))
    bits = fact_bits(
        {name: frame[name].to_numpy() for name in frame.columns}, score_epochs(grid.start_s, None), grid
    )  # fmt: skip
    assert bits[0, INDEX["delta_pct"]] == 4 and bits[1].sum() == 0
