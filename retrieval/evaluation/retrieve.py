"""Retrieval both ways: the exact pair of an epoch and its caption, and epochs that hold what a text says.

Exact pair: each epoch looks for its own caption in a gallery, and each caption for its epoch. A caption that others
share can't be told from theirs: equal scores count at the worst rank, and the share of captions that are not unique is
said, and with it what an encoder that knows every fact would reach. Captions in unseen wording are seldom alike in
their letters and often in what they say: there it is the facts that are compared. By facts: a caption, or a prompt that
names a stage and events, looks for other people's epochs; one is relevant when its stage and its set of events are the
same. An event that was not scored in one of the two decides nothing: it is not asked where the caption could not know
it, and an epoch that can't answer is left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.captions import load_lexicon
from encoders.captions.wording import STAGE_CONCEPTS
from encoders.vocabulary import EPOCH_S
from retrieval.evaluation.baselines import CAPTIONS, CAPTIONS_NOTE, CHANCE, KNN, ZERO_SHOT, caption_space, left_out
from retrieval.evaluation.features import measures_of, standardised
from retrieval.evaluation.fields import known_facts
from retrieval.evaluation.figures import BLOCK_EPOCHS, ONE_SUBJECT, Figure, Statistic, interval
from retrieval.evaluation.sample import Sample

TASK = "retrieval"
GALLERIES = (200, 1_000, 10_000)
FIRST = (1, 5, 10)
KINDS = (  # the events whose presence must agree; the untyped group stands for an apnea whose type nobody gave
    "obstructive_apnea", "central_apnea", "mixed_apnea", "apnea_any", "hypopnea_any", "desaturation", "arousal",
    "limb_movement_any",
)  # fmt: skip
_TOP = 10
_QUERIES = 500  # captions that ask for relevant epochs, evenly spaced
_NUMBERED = 1_000  # captions with numbers, evenly spaced: every one of their sentences is new to the encoder
_RAREST = 0.002  # prompts ask for what is at least so frequent
_CHUNK = 1024
Rows = NDArray[np.int64]
Values = NDArray[np.float64]
Embedded = NDArray[np.float32]


def measure_retrieve(sample: Sample, *, seed: int = 0, captions: Sequence[str] | None = None) -> list[Figure]:
    """R@1, 5, 10 and median rank at `GALLERIES`, or as many as there are; precision@10 by facts and its lift.

    Captions come in the canonical wording, with numbers, and in sentences that training never sees; `captions` `(n,)`
    takes the place of the first and last. Epochs without a caption are left out and counted.
    """
    texts = sample.frame["text"].fill_null("").to_list() if captions is None else list(captions)
    if len(texts) != len(sample):
        raise ValueError(f"{len(texts)} captions for {len(sample)} epochs")
    numbered = sample.frame["text_numbers"].fill_null("").to_list()
    some = evenly(len(sample), _NUMBERED)
    wording = "captions" if captions is None else "captions in the wording given"
    figures = list(_exact_pairs(sample, wording, texts, np.arange(len(sample)), seed))
    figures += _exact_pairs(sample, "captions with numbers", numbered, some, seed)
    if captions is None:
        from encoders.training.facts import INDEX
        from encoders.training.texts import unseen_captions

        facts = known_facts(sample.frame, tuple(INDEX))
        unseen = unseen_captions(facts, seed)
        figures += _exact_pairs(sample, "captions in unseen wording", unseen, np.arange(len(sample)), seed, facts)
    figures += _by_facts(sample, texts, seed)
    return figures


def evenly(n: int, most: int) -> Rows:
    """At most `most` of `n` rows, evenly spaced, ascending."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(np.int64)) if n else np.zeros(0, np.int64)


# ---- the exact pair


def worst_ranks(queries: Embedded, items: Embedded) -> Rows:
    """The rank of `items[i]` for `queries[i]` among all items, `(n,)` from 1; items of equal score stand before it.

    Equal items are compared as one, since a matrix product may give the same row another last digit elsewhere.
    """
    distinct, of_item, count = np.unique(items, axis=0, return_inverse=True, return_counts=True)
    of_item = of_item.reshape(-1)
    ranks = np.empty(len(queries), np.int64)
    for first in range(0, len(queries), _CHUNK):
        rows = slice(first, first + _CHUNK)
        score = queries[rows] @ distinct.T
        own = np.take_along_axis(score, of_item[rows, None], axis=1)
        ranks[rows] = (score >= own) @ count
    return ranks


def _exact_pairs(
    sample: Sample, wording: str, texts: Sequence[str], rows: Rows, seed: int, facts: NDArray[np.uint32] | None = None
) -> Iterator[Figure]:
    """`facts` `(len(sample), slots)`: what captions say, where their letters differ though they say the same."""
    told = rows[[texts[row] != "" for row in rows]] if len(rows) else rows
    n = len(told)
    if n < 2:
        return
    said = [texts[row] for row in told]
    signals, words = sample.vectors[told], sample.texts(said)
    same = np.unique(said if facts is None else facts[told], return_inverse=True, axis=0)[1].reshape(-1)
    shared = float((np.bincount(same)[same] > 1).mean())
    unique = f"{shared:.1%} of these {n:,} captions are not unique" + ("" if facts is None else " in what they say")
    subjects = np.array(sample.frame["subject"][told].to_list())
    for size in sorted({min(size, n) for size in GALLERIES}):
        order = np.random.default_rng([seed, size]).permutation(n)
        galleries = order[: n // size * size].reshape(-1, size)
        asked = np.sort(galleries.reshape(-1))
        alike = np.zeros(n, np.int64)  # captions in its gallery that say the same, its own among them
        for gallery in galleries:
            _, group = np.unique(same[gallery], return_inverse=True)
            alike[gallery] = np.bincount(group)[group]
        for direction, queries, items in (
            ("signal to caption", signals, words), ("caption to signal", words, signals),
        ):  # fmt: skip
            ranks = np.zeros(n, np.int64)
            for gallery in galleries:
                ranks[gallery] = worst_ranks(queries[gallery], items[gallery])
            detail = {"direction": direction, "gallery": size, "wording": wording, "not_unique": shared}
            for name, chance, of_ranks in _scores(size):
                measure = f"{name} {direction}, {size:,} {wording}"
                found = interval(_of(ranks[asked], of_ranks), subjects[asked].tolist(), seed=seed)
                mixed = facts is not None or direction == "signal to caption"
                best = of_ranks(alike[asked]) if mixed else of_ranks(np.ones(1, np.int64))
                at_best = f"every fact known: {best:.3g}"
                note = "; ".join(
                    filter(None, (found.note, unique, at_best, left_out(epochs_without_a_caption=len(rows) - n)))
                )
                people = len(set(subjects[asked]))
                yield Figure(TASK, measure, _method(sample), found.value, len(asked), people, found.low, found.high,
                             chance, note=note, detail=detail | {"best_possible": best})  # fmt: skip
                yield Figure(TASK, measure, CHANCE, chance, len(asked), people, base_rate=chance, detail=detail)


def _of(ranks: Rows, of_ranks: Callable[[Rows], float]) -> Statistic:
    return lambda draw: of_ranks(ranks[draw])


def _scores(size: int) -> Iterator[tuple[str, float, Callable[[Rows], float]]]:
    """Name, what chance gives in a gallery of `size`, and how ranks become a figure."""
    for first in FIRST:
        yield f"R@{first}", min(1.0, first / size), lambda ranks, first=first: float((ranks <= first).mean())  # type: ignore[misc]
    yield "median rank", (size + 1) / 2, lambda ranks: float(np.median(ranks))


def _method(sample: Sample) -> str:
    return ZERO_SHOT if sample.encoder.channels else CAPTIONS


# ---- by facts


@dataclass(frozen=True, slots=True)
class _Query:
    """A text, the epochs that can be judged, and which of those hold what it says; `row` is the epoch it describes."""

    text: str
    judged: Rows
    relevant: NDArray[np.bool_]  # of the judged
    row: int = -1


def precision_at(scores: NDArray[np.floating], relevant: NDArray[np.bool_], first: int = _TOP) -> Statistic:
    """The share of the `first` highest scores that is relevant, as a statistic of rows, which may repeat.

    Of equal scores each is as likely to come first. Rows whose score is NaN are left out; fewer rows than `first` are
    all taken; NaN where none of the rows is relevant.
    """
    order = np.argsort(-scores, kind="stable")[: int((~np.isnan(scores)).sum())]
    ties = np.unique(-scores[order], return_index=True)[1]  # infinite scores are equal too: no difference tells that
    hit = relevant[order]

    def of_rows(rows: Rows) -> float:
        weight = np.bincount(rows, minlength=len(scores))[order]
        count = np.add.reduceat(weight, ties)
        hits = np.add.reduceat(weight * hit, ties)
        taken = np.clip(first - (np.cumsum(count) - count), 0, count)
        return float((hits * taken / np.maximum(count, 1)).sum() / taken.sum()) if hits.any() else np.nan

    return of_rows


def _by_facts(sample: Sample, texts: Sequence[str], seed: int) -> Iterator[Figure]:
    codes = known_facts(sample.frame, ("stage", *KINDS))
    staged = np.isin(codes[:, 0], 1 << np.arange(5))  # one stage, not NREM of an unknown depth
    if not staged.any():
        return
    spaces: dict[str, tuple[Embedded, Callable[[Sequence[str]], Embedded], str]] = {
        _method(sample): (sample.vectors, sample.texts, "")
    }
    if sample.encoder.channels and sample.cohort is not None:
        spaces[CAPTIONS] = (*caption_space(sample), CAPTIONS_NOTE)
    yield from _of_captions(sample, texts, codes, staged, spaces, seed)
    yield from _of_prompts(sample, codes, staged, spaces, seed)


def _of_captions(
    sample: Sample, texts: Sequence[str], codes: NDArray[np.uint32], staged: NDArray[np.bool_],
    spaces: dict[str, tuple[Embedded, Callable[[Sequence[str]], Embedded], str]], seed: int,
) -> Iterator[Figure]:  # fmt: skip
    able = np.flatnonzero(staged & np.array([text != "" for text in texts]))
    asked = able[evenly(len(able), _QUERIES)]
    queries = [q for q in (_about(sample, codes, staged, row, texts[row]) for row in asked) if q.relevant.sum() >= _TOP]
    if not queries:
        return
    subjects = sample.frame["subject"][[q.row for q in queries]].to_list()
    others = "of other subjects" if len(sample.subjects()) > 1 else f"{ONE_SUBJECT}, ten minutes around left out"
    rare = left_out(**{f"captions with fewer than {_TOP} relevant epochs": len(asked) - len(queries)})
    base = np.array([q.relevant.mean() for q in queries])
    scored: dict[str, tuple[Values, str]] = {CHANCE: (base, "")}
    for method, (vectors, embed, note) in spaces.items():
        words = embed([q.text for q in queries])
        found = [_precision(vectors[q.judged] @ word, q) for q, word in zip(queries, words, strict=True)]
        scored[method] = (np.array(found), note)
    z = standardised(measures_of(sample), np.ones(len(sample), bool))
    near = [_precision(-((z[q.judged] - z[q.row]) ** 2).sum(axis=1), q) for q in queries]
    scored[KNN] = (np.array(near), "asked with the measures of the caption's own epoch")
    for method, (values, note) in scored.items():
        statistics: tuple[tuple[str, Statistic, float], ...] = (
            (f"precision@{_TOP}", lambda rows, v=values: float(v[rows].mean()), float(base.mean())),  # type: ignore[misc]
            ("lift", lambda rows, v=values: float(v[rows].mean() / base[rows].mean()), 1.0),  # type: ignore[misc]
        )
        for name, statistic, chance in statistics:
            found_here = interval(statistic, subjects, seed=seed)
            said = "; ".join(filter(None, (f"epochs {others}", note, rare)))
            yield Figure(TASK, f"{name} by facts, captions", method, found_here.value, len(queries), len(set(subjects)),
                         found_here.low, found_here.high, chance, note=said)  # fmt: skip


def _about(sample: Sample, codes: NDArray[np.uint32], staged: NDArray[np.bool_], row: int, text: str) -> _Query:
    """What the caption of a row asks for: the epochs of others (with one subject, ten minutes away) that are alike."""
    frame = sample.frame
    if len(sample.subjects()) > 1:
        away = (frame["subject"] != frame["subject"][int(row)]).to_numpy()
    else:
        gap = np.abs(frame["start_s"].to_numpy() - frame["start_s"][int(row)])
        away = (frame["recording"] != frame["recording"][int(row)]).to_numpy() | (gap > BLOCK_EPOCHS * EPOCH_S)
    return _asking(codes, staged & away, codes[row], text, int(row))


def _asking(
    codes: NDArray[np.uint32], among: NDArray[np.bool_], wanted: NDArray[np.uint32], text: str, row: int = -1
) -> _Query:
    asked = np.flatnonzero(wanted)
    judged = np.flatnonzero(among & (codes[:, asked] != 0).all(axis=1))
    return _Query(text, judged, (codes[judged][:, asked] == wanted[asked]).all(axis=1), row)


def _precision(scores: NDArray[np.floating], query: _Query) -> float:
    return precision_at(scores, query.relevant)(np.arange(len(query.judged)))


def _of_prompts(
    sample: Sample, codes: NDArray[np.uint32], staged: NDArray[np.bool_],
    spaces: dict[str, tuple[Embedded, Callable[[Sequence[str]], Embedded], str]], seed: int,
) -> Iterator[Figure]:  # fmt: skip
    queries = []
    scored = (codes[staged] != 0).any(axis=0)  # by anybody here: a prompt must say all that can be known
    for wanted in np.unique(codes[staged], axis=0):
        query = _asking(codes, staged, wanted, _prompt(wanted))
        if query.relevant.sum() >= _TOP and query.relevant.mean() >= _RAREST and wanted[scored].all():
            queries.append(query)
    if not queries:
        return
    subjects = sample.frame["subject"].to_list()
    n = len(subjects)
    truth = np.zeros((len(queries), n))
    weight = np.zeros((len(queries), n))
    for i, query in enumerate(queries):
        truth[i, query.judged], weight[i, query.judged] = query.relevant, 1.0

    def base(rows: Rows) -> float:
        count = np.bincount(rows, minlength=n)
        return float(np.mean((truth @ count) / np.maximum(weight @ count, 1)))

    chance = base(np.arange(n))
    listed = {query.text: round(float(query.relevant.mean()), 4) for query in queries}
    for method, (vectors, embed, note) in spaces.items():
        words = embed([query.text for query in queries])
        tops = []
        for query, word in zip(queries, words, strict=True):
            scores = np.full(n, np.nan)
            scores[query.judged] = vectors[query.judged] @ word
            relevant = np.zeros(n, bool)
            relevant[query.judged] = query.relevant
            tops.append(precision_at(scores, relevant))
        each = [top(np.arange(n)) for top in tops]
        detail = {"prompts": {q.text: [round(p, 3), listed[q.text]] for q, p in zip(queries, each, strict=True)}}

        def mean(rows: Rows, tops: list[Statistic] = tops) -> float:
            values = np.array([top(rows) for top in tops])
            return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else np.nan

        for name, statistic, by_chance in (
            (f"precision@{_TOP}", mean, chance),
            ("lift", lambda rows, mean=mean: mean(rows) / max(base(rows), 1e-9), 1.0),
        ):  # fmt: skip
            found = interval(statistic, subjects, seed=seed)
            said = "; ".join(filter(None, (found.note, f"{len(queries)} prompts", note)))
            yield Figure(TASK, f"{name} by facts, prompts", method, found.value, n, len(set(subjects)), found.low,
                         found.high, by_chance, note=said, detail=detail)  # fmt: skip
    for name, value in ((f"precision@{_TOP}", chance), ("lift", 1.0)):
        yield Figure(TASK, f"{name} by facts, prompts", CHANCE, value, n, len(set(subjects)), base_rate=value)


def _prompt(wanted: NDArray[np.uint32]) -> str:
    """A stage and its events in the lexicon's canonical words: "REM sleep. Oxygen desaturation." """
    concepts = load_lexicon().concepts
    stage = tuple(STAGE_CONCEPTS)[int(wanted[0]).bit_length() - 1]
    present = [name for name, code in zip(KINDS, wanted[1:], strict=True) if code == 2]
    if any(name.endswith("_apnea") for name in present):
        present.remove("apnea_any")
    said = [STAGE_CONCEPTS[stage], *(name.removesuffix("_any") for name in present)]
    return " ".join(f"{concepts[name].say[0][:1].upper()}{concepts[name].say[0][1:]}." for name in said)
