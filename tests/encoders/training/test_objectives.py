"""Each objective against loops over plain numbers, against open_clip's, and where there is nothing to learn from."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from encoders.errors import BadInput
from encoders.training import (
    DashWeights,
    People,
    caption_cross_entropy,
    contrastive,
    dash,
    gathered,
    masked_patch,
    negative_weights,
    sigmoid,
)

EPOCHS, TEXTS, WIDTH = 7, 9, 16
SCALE, BIAS = 12.0, -3.0
NAN = float("nan")


def units(rows: int, seed: int, *more: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, *more, WIDTH, generator=generator), dim=-1)


@pytest.fixture
def matches() -> Tensor:
    """True, false and unknown pairs; text 0 has no positive, text 1 no negative, epoch 2 nothing that is known."""
    generator = torch.Generator().manual_seed(3)
    drawn = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), EPOCHS * TEXTS, True, generator=generator)
    found = torch.tensor([0.0, 1.0, NAN])[drawn].view(EPOCHS, TEXTS)
    found[:, 0][found[:, 0] == 1] = 0
    found[:, 1][found[:, 1] == 0] = 1
    found[2] = NAN
    return found


def loop_contrastive(logits: list[list[float]], matches: list[list[float]]) -> float:
    def one_way(rows: list[list[float]], truth: list[list[float]]) -> float:
        losses = []
        for row, known in zip(rows, truth, strict=True):
            negatives = [math.exp(value) for value, match in zip(row, known, strict=True) if match == 0]
            own = [
                math.log(math.exp(value) + sum(negatives)) - value
                for value, match in zip(row, known, strict=True)
                if match == 1
            ]
            if own:
                losses.append(sum(own) / len(own))
        return sum(losses) / len(losses)

    def turn(rows: list[list[float]]) -> list[list[float]]:
        return [list(column) for column in zip(*rows, strict=True)]

    return (one_way(logits, matches) + one_way(turn(logits), turn(matches))) / 2


def loop_sigmoid(logits: list[list[float]], matches: list[list[float]], balance: bool) -> float:
    by_text: list[tuple[list[float], list[float]]] = [([], []) for _ in matches[0]]
    for row, known in zip(logits, matches, strict=True):
        for text, (value, match) in enumerate(zip(row, known, strict=True)):
            if match == 1:
                by_text[text][0].append(-math.log(1 / (1 + math.exp(-value))))
            elif match == 0:
                by_text[text][1].append(-math.log(1 / (1 + math.exp(value))))
    if not balance:
        return sum(sum(positive) + sum(negative) for positive, negative in by_text) / len(logits)
    known_texts = [(positive, negative) for positive, negative in by_text if positive or negative]
    return sum(sum(s) / len(s) for sides in known_texts for s in sides if s) / len(known_texts)


def loop_weights(people: dict[str, list[float]]) -> list[list[float]]:
    """The weights as in the paper's code, with the mean over known negatives for what is unknown."""
    ages, sexes, sites, nights = people["age"], people["sex"], people["site"], people["recording"]
    n = len(ages)

    def factor(i: int, j: int, of: str) -> float | None:
        if of == "age":
            return None if math.isnan(ages[i]) or math.isnan(ages[j]) else math.exp(-abs(ages[i] - ages[j]) / 20)
        if of == "sex":
            return None if sexes[i] < 0 or sexes[j] < 0 else 1.0 if sexes[i] == sexes[j] else 0.8
        return None if sites[i] < 0 or sites[j] < 0 else 1.3 if sites[i] == sites[j] else 0.8

    rows = []
    for i in range(n):
        negatives = [j for j in range(n) if nights[j] != nights[i]]
        neutral = {}
        for of in ("age", "sex", "site"):
            known = [value for j in negatives if (value := factor(i, j, of)) is not None]
            neutral[of] = sum(known) / len(known) if known else 1.0
        plain = []
        for j in range(n):
            value = 1.0
            for of in ("age", "sex", "site"):
                found = factor(i, j, of)
                value *= neutral[of] if found is None else found
            plain.append(value + 1e-6)
        if negatives:
            row = [plain[j] if j in negatives else 1e-6 for j in range(n)]
        else:
            negatives, row = [j for j in range(n) if j != i], plain
        mean = sum(row[j] for j in negatives) / max(len(negatives), 1)
        rows.append([1.0 if i == j else max(row[j] / max(mean, 1e-6), 1e-6) for j in range(n)])
    return rows


def loop_dash(
    cosines: list[list[float]], weights: list[list[float]], nights: list[float], tau: float, gamma: float
) -> float:
    def one_way(rows: list[list[float]]) -> float:
        total = 0.0
        for i, row in enumerate(rows):
            below = sum(
                weights[i][j] * math.exp((value - gamma * (i != j and nights[i] == nights[j])) / tau)
                for j, value in enumerate(row)
            )
            total -= math.log(math.exp(row[i] / tau) / below)
        return total / len(rows)

    return (one_way(cosines) + one_way([list(column) for column in zip(*cosines, strict=True)])) / 2


def cosines(a: Tensor, b: Tensor) -> list[list[float]]:
    return (a.double() @ b.double().T).tolist()


@pytest.fixture
def crowd() -> tuple[People, dict[str, list[float]]]:
    """Two windows of one recording, an unknown age, an unknown sex and site, someone of whom nothing is known."""
    plain = {
        "age": [25.0, 25.0, 60.0, NAN, 41.0, 77.0, NAN],
        "sex": [0, 0, 1, 1, -1, 0, -1],
        "site": [0, 0, 0, 1, 1, -1, -1],
        "recording": [10, 10, 11, 12, 13, 14, 15],
    }
    return people_of(plain), plain


def people_of(plain: dict[str, list[float]]) -> People:
    ints = [torch.tensor(plain[name]) for name in ("sex", "site", "recording")]
    return People(torch.tensor(plain["age"]), *ints)


def test_contrastive_is_the_loop(matches: Tensor) -> None:
    signals, texts = units(EPOCHS, 0), units(TEXTS, 1)
    logits = (SCALE * signals.double() @ texts.double().T).tolist()
    assert contrastive(signals, texts, matches, scale=SCALE).item() == pytest.approx(
        loop_contrastive(logits, matches.tolist()), rel=1e-5
    )


@pytest.mark.parametrize("balance", [False, True])
def test_sigmoid_is_the_loop(matches: Tensor, balance: bool) -> None:
    signals, texts = units(EPOCHS, 0), units(TEXTS, 1)
    logits = (SCALE * signals.double() @ texts.double().T + BIAS).tolist()
    found = sigmoid(signals, texts, matches, scale=SCALE, bias=BIAS, balance=balance).item()
    assert found == pytest.approx(loop_sigmoid(logits, matches.tolist(), balance), rel=1e-5)


def test_identity_matches_give_open_clips_losses() -> None:
    from encoders.models.door import open_clip

    try:
        theirs = open_clip()
    except BadInput as missing:
        pytest.skip(str(missing))
    from open_clip.loss import SigLipLoss

    signals, texts, eye = units(EPOCHS, 0), units(EPOCHS, 1), torch.eye(EPOCHS)
    expected = theirs.ClipLoss()(signals, texts, torch.tensor(SCALE)).item()
    assert contrastive(signals, texts, eye, scale=SCALE).item() == pytest.approx(expected, rel=1e-5)
    expected = SigLipLoss()(signals, texts, torch.tensor(SCALE), torch.tensor(BIAS)).item()
    assert sigmoid(signals, texts, eye, scale=SCALE, bias=BIAS).item() == pytest.approx(expected, rel=1e-5)


def test_an_unknown_pair_pulls_at_nothing(matches: Tensor) -> None:
    signals = units(EPOCHS, 0).requires_grad_()
    texts = units(TEXTS, 1)
    for objective in (contrastive, lambda s, t, m, scale: sigmoid(s, t, m, scale=scale, bias=BIAS, balance=True)):
        (gradient,) = torch.autograd.grad(objective(signals, texts, matches, scale=SCALE), signals)
        assert gradient[2].abs().max() == 0
        assert gradient[3].abs().max() > 0


def test_a_second_positive_is_not_pushed_away() -> None:
    logits = torch.tensor([[0.3], [0.9], [0.1]], requires_grad=True)
    loss = contrastive(logits, torch.ones(1, 1), torch.tensor([[1.0], [1.0], [0.0]]), scale=1.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0] < 0
    assert gradient[1] < 0
    assert gradient[2] > 0


def test_balance_gives_a_rare_text_the_weight_of_a_common_one() -> None:
    signals = torch.zeros(100, 1, requires_grad=True)
    rare = torch.zeros(100, 1)
    rare[0] = 1
    share = {}
    for balance in (False, True):
        loss = sigmoid(signals, torch.ones(1, 1), rare, scale=1.0, bias=0.0, balance=balance)
        (gradient,) = torch.autograd.grad(loss, signals)
        share[balance] = (gradient[0].abs() / gradient.abs().sum()).item()
    assert share[False] == pytest.approx(0.01)
    assert share[True] == pytest.approx(0.5)


@pytest.mark.parametrize("fill", [0.0, 1.0, NAN])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_batch_of_one_kind_of_match_is_finite(fill: float, count: int) -> None:
    signals, texts = units(4, 0).requires_grad_(), units(count, 1).requires_grad_()
    matches = torch.full((4, count), fill)
    scale = torch.tensor(100.0, requires_grad=True)
    for loss in (
        contrastive(signals, texts, matches, scale=scale),
        sigmoid(signals, texts, matches, scale=scale, bias=0.0),
        sigmoid(signals, texts, matches, scale=scale, bias=0.0, balance=True),
    ):
        assert loss.isfinite()
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, (signals, texts, scale)))


def test_words_are_scored_where_the_caption_has_them() -> None:
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ids = torch.tensor([[3, 1, 0, 0], [5, 0, 0, 0]])
    total = 0.0
    for row, places in enumerate(ids.tolist()):
        for place, word in enumerate(places):
            if word != 0:
                scores = logits[row, place].double().tolist()
                total -= math.log(math.exp(scores[word]) / sum(math.exp(score) for score in scores))
    assert caption_cross_entropy(logits, ids, pad=0).item() == pytest.approx(total / 3, rel=1e-5)
    empty = caption_cross_entropy(logits, torch.zeros_like(ids), pad=0)
    (gradient,) = torch.autograd.grad(empty, logits)
    assert empty == 0
    assert gradient.abs().max() == 0


def test_only_hidden_patches_of_sensors_that_are_there_count() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = (3 * torch.randn(2, 3, 4, 5, generator=generator)).requires_grad_()
    features = torch.randn(2, 3, 4, 5, generator=generator)
    hidden = torch.rand(2, 3, 4, generator=generator) < 0.5
    there = torch.tensor([[True, False, True], [True, True, False]])
    features[0, 1] = NAN
    total, counted = 0.0, 0
    for b in range(2):
        for c in range(3):
            for p in range(4):
                if hidden[b, c, p] and there[b, c]:
                    for f in range(5):
                        off = abs(predicted[b, c, p, f].item() - features[b, c, p, f].item())
                        total += off - 0.5 if off > 1 else off**2 / 2
                        counted += 1
    loss = masked_patch(predicted, features, hidden, there)
    assert loss.item() == pytest.approx(total / counted, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, predicted)
    assert gradient.isfinite().all()
    assert ((gradient != 0).any(-1) == (hidden & there[..., None])).all()
    by_patch = there[..., None].expand(2, 3, 4)
    assert masked_patch(predicted, features, hidden, by_patch) == loss
    assert masked_patch(predicted, features, torch.zeros_like(hidden), there) == 0


def test_weights_are_the_papers_and_a_missing_age_is_neutral(crowd: tuple[People, dict[str, list[float]]]) -> None:
    people, plain = crowd
    found = negative_weights(people)
    assert torch.allclose(found, torch.tensor(loop_weights(plain)), rtol=1e-4, atol=1e-8)
    others = people.recording[:, None] != people.recording
    assert torch.allclose((found * others).sum(1) / others.sum(1), torch.ones(7))  # the mean negative weighs 1
    assert found[0, 1] < 1e-5  # the same night's other window vanishes
    assert found[0, 3] > 0.1  # no age: neither the nearest of negatives nor none
    assert found[0, 3] < found[0].max()
    assert found[6, :6] == pytest.approx(1.0, abs=1e-4)  # of whom nothing is known: all negatives alike


def test_same_age_sex_and_site_weigh_five_and_a_half_times_the_strangers() -> None:
    ages = torch.tensor([40.0, 40.0, 60.0])
    people = People(ages, torch.tensor([0, 0, 1]), torch.tensor([0, 0, 1]), torch.arange(3))
    found = negative_weights(people)
    assert (found[0, 1] / found[0, 2]).item() == pytest.approx(5.52, abs=0.01)


def test_dash_is_the_loop(crowd: tuple[People, dict[str, list[float]]]) -> None:
    people, plain = crowd
    a, b = units(7, 0), units(7, 1)
    expected = loop_dash(cosines(a, b), loop_weights(plain), plain["recording"], 0.2, 0.10)
    assert dash(3 * a, b, people=people).item() == pytest.approx(expected, rel=1e-5)
    expected = loop_dash(cosines(a, b), loop_weights(plain), plain["recording"], 0.5, 0.3)
    assert dash(a, b, people=people, tau=0.5, gamma=0.3).item() == pytest.approx(expected, rel=1e-5)


def test_dash_over_steps_is_the_mean_of_the_steps(crowd: tuple[People, dict[str, list[float]]]) -> None:
    people, _ = crowd
    a, b = units(7, 0, 5), units(7, 1, 5)
    each = [dash(a[:, step], b[:, step], people=people).item() for step in range(5)]
    assert dash(a, b, people=people).item() == pytest.approx(sum(each) / 5, rel=1e-5)


def test_dash_without_people_is_plain_infonce() -> None:
    a, b = units(7, 0), units(7, 1)
    ones = [[1.0] * 7 for _ in range(7)]
    assert dash(a, b, people=None).item() == pytest.approx(
        loop_dash(cosines(a, b), ones, list(range(7)), 0.2, 0.1), rel=1e-5
    )
    assert dash(a, b, people=None, tau=1 / SCALE).item() == pytest.approx(
        contrastive(a, b, torch.eye(7), scale=SCALE).item(), rel=1e-5
    )


def test_a_batch_of_one_recording_falls_back_to_its_own_windows() -> None:
    plain = {"age": [30.0, 30.0, 30.0], "sex": [1, 1, 1], "site": [2, 2, 2], "recording": [5, 5, 5]}
    assert torch.allclose(negative_weights(people_of(plain)), torch.ones(3, 3))
    plain["age"] = [30.0, 30.0, 50.0]  # as a merged recording may have
    assert torch.allclose(negative_weights(people_of(plain)), torch.tensor(loop_weights(plain)))
    a, b = units(3, 0), units(3, 1)
    expected = loop_dash(cosines(a, b), loop_weights(plain), plain["recording"], 0.2, 0.10)
    assert dash(a, b, people=people_of(plain)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rows", [0, 1])
def test_dash_of_one_epoch_or_none_is_zero(rows: int) -> None:
    a, b = units(rows, 0).requires_grad_(), units(rows, 1)
    unknown = torch.full((rows,), -1)
    loss = dash(a, b, people=People(torch.full((rows,), NAN), unknown, unknown, torch.arange(rows)))
    (gradient,) = torch.autograd.grad(loss, a)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert gradient.isfinite().all()


def test_a_negative_as_old_as_the_anchor_counts_as_asked() -> None:
    weights = DashWeights(age_scale_years=1e9, other_sex=1.0, same_site=1.0, other_site=1.0)
    people = People(torch.tensor([20.0, 50.0, 80.0]), torch.tensor([0, 1, 0]), torch.tensor([0, 1, 2]), torch.arange(3))
    a, b = units(3, 0), units(3, 1)
    assert dash(a, b, people=people, weights=weights).item() == pytest.approx(dash(a, b, people=None).item(), rel=1e-5)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, People], Tensor]] = {
    "contrastive": lambda s, t, m, p: contrastive(s, t, m, scale=100.0),
    "sigmoid": lambda s, t, m, p: sigmoid(s, t, m, scale=100.0, bias=BIAS, balance=True),
    "dash": lambda s, t, m, p: dash(s, t[:EPOCHS], people=p),
    "masked_patch": lambda s, t, m, p: masked_patch(
        s[None, None], t[None, None, :EPOCHS], torch.ones(1, 1, EPOCHS).bool(), torch.ones(1, 1).bool()
    ),
    "words": lambda s, t, m, p: caption_cross_entropy(s[None], torch.arange(EPOCHS)[None], pad=0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_nothing(name: str, matches: Tensor, crowd: tuple[People, dict[str, list[float]]]) -> None:
    signals, texts = units(EPOCHS, 0), units(TEXTS, 1)
    plain = LOSSES[name](signals, texts, matches, crowd[0])
    with torch.autocast("cpu", torch.bfloat16):
        cast = LOSSES[name](signals, texts, matches, crowd[0])
        halves = signals.bfloat16().requires_grad_()
        half = LOSSES[name](halves, texts.bfloat16(), matches, crowd[0])
    assert cast == plain
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(plain.item(), rel=0.1)
    assert torch.autograd.grad(half, halves)[0].isfinite().all()


def _whole(signals: Tensor, texts: Tensor, matches: Tensor, people: People) -> Tensor:
    return contrastive(signals, texts, matches, scale=SCALE) + dash(signals, texts[:EPOCHS], people=people)


def _rank(rank: int, folder: str, weight: Tensor, matches: Tensor, people: People) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    part = slice(0, 3) if rank == 0 else slice(3, None)  # 3 epochs and 4, 3 texts and 6
    weight = weight.clone().requires_grad_()
    signals, texts = gathered(units(EPOCHS, 0)[part] @ weight), gathered(units(TEXTS, 1)[part] @ weight)
    mine = People(people.age_years[part], people.sex[part], people.site[part], people.recording[part])
    loss = _whole(signals, texts, gathered(matches[part]), mine.gathered())
    loss.backward()
    assert weight.grad is not None
    torch.distributed.all_reduce(weight.grad)
    flags = gathered(torch.tensor([rank == 1] * (rank + 1)))
    torch.save((loss.detach(), weight.grad / 2, flags), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_learns(
    tmp_path: Path, matches: Tensor, crowd: tuple[People, dict[str, list[float]]]
) -> None:
    weight = torch.eye(WIDTH) + 0.1 * torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(5))
    one = weight.clone().requires_grad_()
    expected = _whole(units(EPOCHS, 0) @ one, units(TEXTS, 1) @ one, matches, crowd[0])
    expected.backward()
    torch.multiprocessing.spawn(_rank, (str(tmp_path), weight, matches, crowd[0]), nprocs=2)
    for rank in range(2):
        loss, gradient, flags = torch.load(tmp_path / f"{rank}.pt")
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert one.grad is not None
        assert torch.allclose(gradient, one.grad, atol=1e-6)
        assert flags.tolist() == [False, True, True]


def test_alone_gathering_changes_nothing() -> None:
    vectors = units(3, 0)
    assert gathered(vectors) is vectors
