import pytest

from encoders.errors import BadInput
from retrieval.similar_nights import AlikeNights


def test_unlike_turns_the_order_round_and_both_say_which_parts_agree(sim_cohort) -> None:
    cohort = sim_cohort.cohort
    name = cohort.nights()["recording"][0]
    alike, unlike = cohort.similar(name, k=4), cohort.similar(name, k=4, unlike=True)
    assert isinstance(alike, AlikeNights) and len(alike.hits) == 4
    assert [h.recording for h in alike.hits] == [h.recording for h in unlike.hits][::-1]
    assert [a.other for a in alike.alignments] == [h.recording for h in alike.hits]
    assert all("most alike" in h.why[-2] and "least alike" in h.why[-1] for h in alike.hits)
    first = alike.alignments[0]
    assert first.likeness == max(-1.0, first.likeness) <= 1.0 and len(first.cosine) == len(first.start_s)
    assert alike.to_json()["alignments"][0]["other"] == alike.hits[0].recording


def test_two_nights_align_as_similar_says(sim_cohort) -> None:
    cohort = sim_cohort.cohort
    name = cohort.nights()["recording"][0]
    said = cohort.similar(name, k=1).alignments[0]
    again = cohort.align(name, said.other)
    assert again.likeness == pytest.approx(said.likeness, abs=1e-5)
    assert cohort.align(said.other, name).likeness == pytest.approx(said.likeness, abs=1e-5)


def test_where_keeps_nights_and_the_night_itself_is_no_hit(sim_cohort) -> None:
    cohort = sim_cohort.cohort
    name = cohort.nights()["recording"][0]
    women = set(cohort.nights(where="sex = 'F'")["recording"]) - {name}
    answer = cohort.similar(name, where="sex = 'F'")
    assert {h.recording for h in answer.hits} == women and answer.searched == len(women)


def test_unlike_a_moment_is_refused(sim_cohort) -> None:
    name = sim_cohort.cohort.nights()["recording"][0]
    with pytest.raises(BadInput, match="name the recording alone"):
        sim_cohort.cohort.similar(f"{name}@60", unlike=True)
