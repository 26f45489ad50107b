"""Which steps of an epoch an event fills, and which texts are true of them."""

import numpy as np
import polars as pl
import torch

from encoders.models.small.patches import STEPS
from encoders.training.facts import INDEX, SLOTS, claim
from encoders.training.moments import EVENT_SLOTS, step_bits, step_matches


def filled(bits: np.ndarray, name: str) -> list[int]:
    return np.flatnonzero(bits & (1 << EVENT_SLOTS.index(INDEX[name]))).tolist()


def test_an_event_is_in_the_steps_that_it_fills_by_half() -> None:
    bits = step_bits(pl.Series([["hypopnea 3.0-20.9", "arousal 18.1-21.1"], [], None], dtype=pl.List(pl.String)))
    assert bits.shape == (3, STEPS) and not bits[1:].any()
    assert filled(bits[0], "hypopnea") == list(range(1, 10))  # a half of 2-4 s, less than that of 20-22 s
    assert filled(bits[0], "arousal") == [9, 10]
    assert filled(bits[0], "respiratory") == filled(bits[0], "hypopnea_any") == filled(bits[0], "hypopnea")
    assert filled(bits[0], "apnea_any") == []


def test_two_events_of_a_kind_are_both_there() -> None:
    bits = step_bits(pl.Series([["obstructive apnea 0.0-10.0", "central apnea 20.0-30.0"]]))
    assert filled(bits[0], "apnea_any") == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert filled(bits[0], "central_apnea") == [10, 11, 12, 13, 14]


def test_only_texts_of_one_event_are_judged_and_only_where_it_is() -> None:
    bits = np.zeros((3, len(SLOTS)), np.uint32)
    bits[:, INDEX["arousal"]] = [2, 1, 0]  # there, not there, not scored
    steps = step_bits(pl.Series([["arousal 4.0-8.0"], [], None], dtype=pl.List(pl.String)))
    said = [
        {"arousal": ["present"]}, {"arousal": ["absent"]}, {"stage": ["N2"]},
        {"stage": ["N2"], "arousal": ["present"]}, {"hypopnea": ["present"]},
    ]  # fmt: skip
    found = step_matches(bits, steps, np.stack([claim(one) for one in said]))
    assert found.shape == (3, STEPS, len(said))
    assert found[0, :, 0].tolist() == [0, 0, 1, 1] + [0] * 11
    assert np.isnan(found[1:]).all() and np.isnan(found[0, :, 1:]).all()


def test_steps_that_an_event_fills_come_nearer_to_its_words() -> None:
    """The objective alone, on free vectors: it moves steps of the event to its text, and the others away."""
    from encoders.training.objectives import sigmoid

    bits = np.zeros((1, len(SLOTS)), np.uint32)
    bits[0, INDEX["arousal"]] = 2
    steps = step_bits(pl.Series([["arousal 4.0-8.0"]]))
    truth = torch.from_numpy(step_matches(bits, steps, claim({"arousal": ["present"]})[None]))[0]
    torch.manual_seed(0)
    vectors, text = torch.randn(STEPS, 8, requires_grad=True), torch.nn.functional.normalize(torch.randn(1, 8), dim=-1)
    optimiser = torch.optim.Adam([vectors], lr=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        sigmoid(
            torch.nn.functional.normalize(vectors, dim=-1), text, truth, scale=10.0, bias=0.0, balance=True
        ).backward()
        optimiser.step()
    cosine = torch.nn.functional.normalize(vectors, dim=-1) @ text[0]
    assert cosine[2:4].min() > 0 > torch.cat([cosine[:2], cosine[4:]]).max() + 0.5
