import numpy as np
import pytest

from retrieval.alike import BLOCK_S, LATE_PER_H, WINDOW, Path, align, matched, path_of


def drawn(rng: np.random.Generator, blocks: int, dim: int = 6) -> Path:
    vectors = rng.normal(size=(blocks, dim))
    starts = np.arange(blocks) * BLOCK_S
    return Path(starts, starts / 3600, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_each_block_goes_where_it_gains_most() -> None:
    rng = np.random.default_rng(3)
    one, other = drawn(rng, 4), drawn(rng, 60)

    def gain(a: Path, i: int, b: Path, j: int) -> float:
        return float(a.vectors[i] @ b.vectors[j]) - LATE_PER_H * abs(float(a.since_h[i] - b.since_h[j]))

    there, cosine, likeness = matched(one, other)
    assert there.tolist() == [max(range(60), key=lambda j: gain(one, i, other, j)) for i in range(4)]
    assert cosine.tolist() == pytest.approx([float(one.vectors[i] @ other.vectors[j]) for i, j in enumerate(there)])
    ways = [
        [max(gain(a, i, b, j) for j in range(n)) for i in range(m)]
        for a, m, b, n in ((one, 4, other, 60), (other, 60, one, 4))
    ]
    assert likeness == pytest.approx(sum(np.mean(way) for way in ways) / 2)
    assert matched(other, one)[2] == pytest.approx(likeness)


def test_a_night_lies_on_itself_block_by_block() -> None:
    night = drawn(np.random.default_rng(1), 30)
    there, cosine, likeness = matched(night, night)
    assert there.tolist() == list(range(30)) and cosine == pytest.approx(1.0) and likeness == pytest.approx(1.0)


def test_half_a_night_is_less_like_the_whole_one() -> None:
    night = drawn(np.random.default_rng(1), 30)
    half = Path(night.start_s[:15], night.since_h[:15], night.vectors[:15])
    assert matched(half, night)[1] == pytest.approx(1.0)
    assert matched(half, night)[2] == pytest.approx(matched(night, half)[2])
    assert 0.5 < matched(night, half)[2] < 0.95


def test_the_stretch_that_differs_is_named_and_the_one_that_agrees() -> None:
    rng = np.random.default_rng(8)
    one = drawn(rng, 60, dim=64)
    vectors = one.vectors.copy()
    vectors[20:40] = -vectors[20:40]
    other = Path(one.start_s, one.since_h, vectors)
    found = align("a", one, "b", other)
    assert found.most and found.least
    assert found.least.start_s >= 20 * BLOCK_S and found.least.stop_s <= 40 * BLOCK_S
    assert found.most.stop_s - found.most.start_s == WINDOW * BLOCK_S
    assert found.most.stop_s <= 20 * BLOCK_S or found.most.start_s >= 40 * BLOCK_S
    assert found.most.cosine == pytest.approx(1.0) and found.most.other_start_s == pytest.approx(
        found.most.start_s, abs=3 * BLOCK_S
    )
    assert found.frame().height == 60 and found.to_json()["most"]["cosine"] == pytest.approx(1.0)


def test_two_cycles_may_change_places_for_the_price_of_the_hours() -> None:
    rng = np.random.default_rng(5)
    one = drawn(rng, 40, dim=64)
    other = Path(one.start_s, one.since_h, np.roll(one.vectors, 20, axis=0))
    _, cosine, likeness = matched(one, other)
    assert cosine == pytest.approx(1.0)
    assert likeness == pytest.approx(1 - LATE_PER_H * 20 * BLOCK_S / 3600)


def test_blocks_without_a_known_epoch_are_not_there() -> None:
    start_s = np.arange(12) * 30.0
    vectors = np.ones((12, 3), np.float32)
    vectors[4:8] = 0.0
    vectors[11] = np.nan
    path = path_of(start_s, vectors, 60.0)
    assert path.start_s.tolist() == [0.0, 240.0]
    assert path.since_h[0] == pytest.approx(-60 / 3600)
    assert np.linalg.norm(path.vectors, axis=1) == pytest.approx(1.0)


def test_too_short_nights_have_no_stretches() -> None:
    night = drawn(np.random.default_rng(1), WINDOW - 1)
    found = align("a", night, "b", night)
    assert found.most is None and found.least is None and len(found.cosine) == WINDOW - 1
