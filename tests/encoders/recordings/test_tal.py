"""Time-stamped annotation lists, as EDF+ 2.2.2 has them and as recorders write them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoders.recordings.tal import Annotation, format_tal, parse_tals, record_onsets


def records(*texts: bytes) -> NDArray[np.uint8]:
    width = max(len(text) for text in texts)
    return np.frombuffer(b"".join(text.ljust(width, b"\0") for text in texts), np.uint8).reshape(len(texts), width)


@pytest.mark.parametrize(
    ("raw", "expected", "garbage"),
    [
        (b"+0\x14\x14\x00+180\x14Off\x14Door\x14\x00", [(180, None, "Off"), (180, None, "Door")], 0),
        (b"+0\x14\x14Started\x14\x00", [(0, None, "Started")], 0),
        (b"+993.2\x151.2\x14Apnea\x14\x00", [(993.2, 1.2, "Apnea")], 0),
        (b"-0.065\x14Pre\x14\x00", [(-0.065, None, "Pre")], 0),
        (b"+5\x150\x14Zero length\x14\x00", [(5, 0.0, "Zero length")], 0),
        (b"+5\x15\x14No length\x14\x00", [(5, None, "No length")], 0),
        (b"+5,5\x151,5\x14Comma\x14\x00", [(5.5, 1.5, "Comma")], 0),
        ("+1\x14Apnée\x14\x00".encode(), [(1, None, "Apnée")], 0),
        ("+1\x14Apnée\x14\x00".encode("latin-1"), [(1, None, "Apnée")], 0),
        (b"+1\x14two\nlines\x14\x00", [(1, None, "two lines")], 0),
        (b"30\x14No sign\x14\x00", [(30, None, "No sign")], 0),
        (b"xyz+7\x14Found\x14\x00+8\x14Next\x14\x00", [(7, None, "Found"), (8, None, "Next")], 1),
        (b"rubbish\x00+8\x14Next\x14\x00", [(8, None, "Next")], 1),
        (b"+8\x15long\x14Odd length\x14\x00", [(8, None, "Odd length")], 1),
        (b"+8\x14Not closed", [(8, None, "Not closed")], 1),
        (b"+99999999999\x14Centuries\x14\x00+1\x14Now\x14\x00", [(1, None, "Now")], 1),
    ],
)  # fmt: skip
def test_tals(raw: bytes, expected: list[tuple[float, float | None, str]], garbage: int) -> None:
    assert parse_tals(records(raw)) == ([Annotation(*each) for each in expected], garbage)


def test_a_tal_ends_with_its_record() -> None:
    found, _ = parse_tals(records(b"+0\x14one\x14", b"+1\x14two\x14"))
    assert found == [Annotation(0, None, "one"), Annotation(1, None, "two")]


def test_record_onsets_are_nan_where_none_can_be_read() -> None:
    readable = b"+0.25\x14\x14\x00", b"+1.25\x14\x14x\x14"
    not_so = b"junk", b"+3\x14text\x14", b"-4\x14\x14", b"+999999999\x14\x14"
    assert np.array_equal(record_onsets(records(*readable, *not_so)), [0.25, 1.25] + [np.nan] * 4, equal_nan=True)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40)


@settings(max_examples=50)
@given(st.floats(-1e6, 1e6), st.none() | st.floats(0, 1e6), texts)
def test_what_is_formatted_is_read_back(onset_s: float, duration_s: float | None, text: str) -> None:
    (found,), garbage = parse_tals(records(format_tal(onset_s, duration_s, text)))
    assert garbage == 0
    assert found.text == text
    assert found.onset_s == pytest.approx(onset_s, abs=1e-7)
    assert found.duration_s == (None if duration_s is None else pytest.approx(duration_s, abs=1e-7))


@given(st.binary(min_size=1, max_size=300))
def test_garbage_never_raises(raw: bytes) -> None:
    found, _ = parse_tals(records(raw))
    assert all(abs(each.onset_s) <= 1e9 and each.text.isprintable() for each in found)
    record_onsets(records(raw))
