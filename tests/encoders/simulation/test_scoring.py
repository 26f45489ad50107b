"""The technician's file: near the truth, only the kinds of the site, and never below the AASM minima."""

from encoders.simulation.night import Night
from encoders.simulation.scoring import score_night, stage_bouts
from encoders.vocabulary import EVENTS, KINDS


def test_scored_edges_are_near_the_true_ones_and_keep_the_minima(sick: Night) -> None:
    scored = score_night(sick, {"scores": KINDS}, ideal=True)
    for name in ("obstructive apnea", "hypopnea", "arousal"):
        true, marked = sick.named(name), [e for e in scored.events if e.name == name]
        assert len(true) == len(marked)
        shortest = 3.0 if name == "arousal" else 10.0
        for a, b in zip(true, marked, strict=True):
            assert abs(a.start_s - b.start_s) < 2 and abs(a.stop_s - b.stop_s) < 3
            assert b.stop_s - b.start_s >= shortest - 1e-6
            assert b.start_s == round(b.start_s, 1)


def test_what_a_site_does_not_score_is_left_out_and_moves_no_other_edge(sick: Night) -> None:
    everything, some = (
        score_night(sick, {"scores": KINDS}, ideal=True),
        score_night(sick, {"scores": ("stages", "arousals")}, ideal=True),
    )
    assert {EVENTS[e.name] for e in some.events} == {"arousals"}
    assert list(some.events) == [e for e in everything.events if e.name == "arousal"]


def test_bouts_cover_every_epoch_once() -> None:
    assert stage_bouts(["W", "W", "N1", "N2", "N2", "W"]) == [(0, 2, "W"), (2, 1, "N1"), (3, 2, "N2"), (5, 1, "W")]
