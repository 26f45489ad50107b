"""Caption fields, right or wrong: what sentences say, what is known, and how a decoder's words are taken."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.recordings import Epochs
from encoders.training.facts import SLOTS
from retrieval.evaluation.fields import known_facts, levels_of, load_fields, measure_fields, nearest_levels, said_in
from retrieval.evaluation.figures import Figure
from retrieval.evaluation.sample import Sample
from tests.retrieval.evaluation.conftest import TinyEncoder


def by_name(figures: list[Figure]) -> dict[tuple[str, str], Figure]:
    return {(figure.measure, figure.method): figure for figure in figures}


def test_levels_are_those_of_the_slots() -> None:
    slots = {slot.name: slot for slot in SLOTS}
    for name, field in load_fields().items():
        assert len(field.say) == len(slots[name].levels), name
        assert len(field.silent) <= 1, name


def test_what_captions_say_is_what_is_known(tiny_sample: Sample) -> None:
    """The long way round: every sentence of every canonical caption against the catalog's numbers."""
    fields = load_fields()
    scales = [name for name in fields if name not in {slot.name for slot in SLOTS if slot.kind == "event"}]
    levels = {n: levels_of(b) for n, b in zip(scales, known_facts(tiny_sample.frame, scales).T, strict=True)}
    said = [said_in(text) for text in tiny_sample.frame["text"]]
    assert sum((level >= 0).any() for level in levels.values()) > 20  # no nasal pressure here: no flattened flow
    for name in scales:
        silent = fields[name].silent
        heard = np.array([one.get(name, silent[0] if silent else -1) for one in said])
        known = levels[name] >= 0
        assert np.array_equal(heard[known], levels[name][known]), name


def test_every_wording_is_heard_as_its_level() -> None:
    for name, field in load_fields().items():
        for level, wordings in enumerate(field.say):
            for text in wordings:
                assert said_in(f"Heart rate (ECG) 61 to 70. {text}")[name] == level


def test_a_level_narrowed_down_to_several_is_unknown() -> None:
    assert levels_of(np.array([0, 1, 2, 16, 0b01110], np.uint32)).tolist() == [-1, 0, 1, 4, -1]


def test_words_choose_the_level_and_silence_goes_to_the_farthest(told_sample: Sample) -> None:
    field = load_fields()["alpha_pct"]
    truth = levels_of(known_facts(told_sample.frame, ["alpha_pct"])[:, 0])
    chosen = nearest_levels(told_sample, field, truth)
    assert (chosen[truth >= 0] == 0).sum() == (truth == 0).sum()  # as many silences as there truly are
    figures = by_name(measure_fields(told_sample))
    for name in ("stage", "alpha_pct", "delta_pct", "arousal"):
        figure = figures[f"accuracy, {name}", "zero-shot"]
        assert figure.value > figure.base_rate, name  # type: ignore[operator]
        assert sum(map(sum, figure.detail["confusion"])) == figure.n
    mean = figures["macro-F1, mean over fields", "zero-shot"]
    assert mean.base_rate < mean.low < mean.value  # type: ignore[operator]


def test_generated_captions_are_right_wrong_or_silent(told_sample: Sample) -> None:
    texts = {(row["recording"], row["start_s"]): row["text"] for row in told_sample.frame.iter_rows(named=True)}
    owners = iter(told_sample.frame["recording"].unique(maintain_order=True).to_list() * 2)

    def knowing(epochs: Epochs) -> list[dict[str, str]]:
        recording = next(owners)
        return [{"brain": texts[recording, start_s]} for start_s in epochs.start_s]

    def stage_alone(epochs: Epochs) -> list[dict[str, str]]:
        return [{"stage_event": "Scored as REM sleep."} for _ in range(len(epochs))]

    right = by_name(measure_fields(replace(told_sample, encoder=TinyEncoder(knowing))))
    for name in ("stage", "delta_pct", "spo2_min_pct", "eye_movements_per_min"):
        assert right[f"accuracy, {name}", "generated captions"].value == 1, name
    poor = by_name(measure_fields(replace(told_sample, encoder=TinyEncoder(stage_alone))))
    stage, delta = (poor[f"accuracy, {name}", "generated captions"] for name in ("stage", "delta_pct"))
    assert stage.detail["not_said"] == 0 and 0 < stage.value < 0.5  # type: ignore[operator]
    assert delta.detail["not_said"] == delta.n and delta.value == 0
    # Silence is an answer where a level is silent.
    rise = poor["accuracy, hr_rise_bpm", "generated captions"]
    assert rise.detail["not_said"] == 0 and rise.value == pytest.approx(rise.base_rate)


def test_without_a_decoder_nothing_is_said_of_generated_captions(told_sample: Sample) -> None:
    assert {figure.method for figure in measure_fields(told_sample)} == {"zero-shot"}
