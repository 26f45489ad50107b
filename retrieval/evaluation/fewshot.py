"""Few labelled examples: how well a simple classifier does that has seen 1, 5 or 50 epochs of each class.

Subjects are halved at random, and each half in turn gives the examples by which the other is judged: nobody is on both
sides. The halving is drawn several times and the scores are averaged. Two classifiers, told nothing else:

- kNN: the class whose 5 nearest examples (fewer, where there are fewer) are nearest on average, by cosine.
- linear probe: logistic regression on what is standardised over the half that gives the examples.

The same two on the catalog's measures say what the encoder adds to numbers that anyone can compute.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from retrieval.agreement import confusion, f1_of
from retrieval.evaluation.baselines import CAPTIONS_NOTE, CHANCE, caption_space
from retrieval.evaluation.curves import Ranking
from retrieval.evaluation.events import event_truths
from retrieval.evaluation.features import Values, measures_of, standardised, unit
from retrieval.evaluation.figures import ONE_SUBJECT, Figure, Statistic, interval
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.staging import stage_truth

TASK = "few-shot"
EXAMPLES = (1, 5, 50)
STAGING = "staging"
_HALVINGS = 3  # each used both ways round: six draws of examples
_NEAREST = 5
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Question:
    """Classes to tell apart: `truth` is an index into `classes`, row by row of `rows`."""

    of: str
    classes: tuple[str, ...]
    rows: Rows
    truth: Rows
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Draw:
    """Examples, the rows that their subjects have, and the rows to be judged; indices into a question's rows."""

    examples: Rows
    donors: NDArray[np.bool_]
    judged: Rows
    counts: tuple[int, ...]  # examples of each class


def measure_fewshot(sample: Sample, *, seed: int = 0) -> list[Figure]:
    """Macro-F1 and N1's F1 of staging, AUC of each kind of event, at `EXAMPLES` a class.

    Which epochs count is as in the tasks staging and events. Intervals are over the subjects tested. Where everything
    of a kind comes from one subject there is no figure, and a note. Of an encoder without signals, captions less their
    part stage_event are taken.
    """
    figures: list[Figure] = []
    vectors = sample.vectors if sample.encoder.channels else caption_space(sample)[0]
    spaces = {"": vectors.astype(np.float64), "measures + ": measures_of(sample)}
    for question in _questions(sample):
        draws = {count: [d for d in _draws(question, count, seed) if _fair(question, d)] for count in EXAMPLES}
        if not all(draws.values()):
            note = f"{ONE_SUBJECT} has all there is of it: examples must come from somebody else"
            figures.append(Figure(TASK, question.of, "kNN", None, len(question.rows), len(set(question.subjects)),
                                  note=note))  # fmt: skip
            continue
        for count, several in draws.items():
            figures += _chance(question, count)
            for prefix, features in spaces.items():
                for name, classify in (("kNN", _nearest), ("linear probe", _linear)):
                    plain = not prefix and name == "kNN"  # cosines of an encoder's own vectors
                    scores = [_scored(classify, features, question, draw, standardise=not plain) for draw in several]
                    note = "" if prefix or sample.encoder.channels else CAPTIONS_NOTE
                    figures += _figures(question, f"{prefix}{name}", count, several, scores, note, seed)
    return figures


# ---- what is asked, who teaches and who is judged


def _questions(sample: Sample) -> Iterator[_Question]:
    people = sample.frame["subject"].to_numpy()
    stages = stage_truth(sample)
    asked = [(STAGING, tuple(stages.task.labels), stages.codes)]
    asked += [(truth.task.name, ("absent", "present"), truth.codes) for truth in event_truths(sample)]
    for of, classes, codes in asked:
        if len(rows := np.flatnonzero(codes >= 0)):
            yield _Question(of, classes, rows, codes[rows], tuple(people[rows]))


def _draws(question: _Question, count: int, seed: int) -> Iterator[_Draw]:
    rng = np.random.default_rng([seed, count])
    names, owner = np.unique(question.subjects, return_inverse=True)
    for _ in range(_HALVINGS):
        half = np.isin(owner, rng.permutation(len(names))[: len(names) // 2])
        for donors in (half, ~half):
            picked = []
            for label in range(len(question.classes)):
                there = np.flatnonzero(donors & (question.truth == label))
                picked.append(rng.choice(there, min(count, len(there)), replace=False))
            yield _Draw(np.concatenate(picked), donors, np.flatnonzero(~donors), tuple(map(len, picked)))


def _fair(question: _Question, draw: _Draw) -> bool:
    """Whether both sides have at least two of the classes: of an event, with it and without."""
    return sum(count > 0 for count in draw.counts) > 1 and len(np.unique(question.truth[draw.judged])) > 1


# ---- the classifiers


def _scored(
    classify: Callable[[Values, Rows, Values, int], Values], features: Values, question: _Question, draw: _Draw, *,
    standardise: bool,
) -> Values:  # fmt: skip
    """Scores `(rows judged, classes)`; a class without an example is never the highest."""
    features = features[question.rows]
    if standardise:
        features = standardised(features, draw.donors)
    labels = question.truth[draw.examples]
    return classify(features[draw.examples], labels, features[draw.judged], len(question.classes))


def _nearest(examples: Values, labels: Rows, judged: Values, classes: int) -> Values:
    cosine = unit(judged) @ unit(examples).T
    scores = np.full((len(judged), classes), -np.inf)
    for label in np.unique(labels):
        scores[:, label] = np.sort(cosine[:, labels == label], axis=1)[:, -_NEAREST:].mean(axis=1)
    return scores


def _linear(examples: Values, labels: Rows, judged: Values, classes: int) -> Values:
    from sklearn.linear_model import LogisticRegression

    scores = np.full((len(judged), classes), -np.inf)
    found = LogisticRegression(max_iter=2000).fit(examples, labels).decision_function(judged)
    scores[:, np.unique(labels)] = found if found.ndim == 2 else np.stack([-found, found], axis=1)
    return scores


# ---- how well they do


def _figures(
    question: _Question, method: str, count: int, draws: Sequence[_Draw], scores: Sequence[Values], note: str, seed: int
) -> Iterator[Figure]:
    fewest = min(min(draw.counts) for draw in draws)
    few = f"of the rarest class there were {fewest} in a draw" if fewest < count else ""
    for score, of_draw in _statistics(question):
        each = [of_draw(draw.judged, found) for draw, found in zip(draws, scores, strict=True)]
        found = interval(partial(_mean, each), question.subjects, seed=seed)
        said = "; ".join(filter(None, (found.note, few, note)))
        yield _figure(question, score, method, count, found.value, found.low, found.high, said)


def _statistics(question: _Question) -> Iterator[tuple[str, Callable[[Rows, Values], Statistic]]]:
    """What is measured by name, and the statistic of the rows judged in one draw."""
    if question.of == STAGING:
        yield "macro-F1", partial(_f1, question, None)
        if "N1" in question.classes:
            yield "N1 F1", partial(_f1, question, question.classes.index("N1"))
    else:
        yield "AUC", partial(_auc, question)


def _f1(question: _Question, label: int | None, judged: Rows, scores: Values) -> Statistic:
    truth, found = question.truth, np.full(len(question.rows), -1)
    found[judged] = scores.argmax(axis=1)

    def of_rows(rows: Rows) -> float:
        rows = rows[found[rows] >= 0]
        each = f1_of(confusion(truth[rows], found[rows], len(question.classes)))
        return _known_mean(each if label is None else each[[label]])

    return of_rows


def _auc(question: _Question, judged: Rows, scores: Values) -> Statistic:
    ranking = Ranking.of(question.truth[judged] == 1, scores[:, 1] - scores[:, 0])
    place = np.full(len(question.rows), -1)
    place[judged] = np.arange(len(judged))

    def of_rows(rows: Rows) -> float:
        at = place[rows]
        at = at[at >= 0]
        return ranking.auc(at) if len(at) else np.nan

    return of_rows


def _mean(each: Sequence[Statistic], rows: Rows) -> float:
    return _known_mean(np.array([statistic(rows) for statistic in each]))


def _known_mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _chance(question: _Question, count: int) -> Iterator[Figure]:
    """Labels drawn as often as each occurs: the F1 of each is then its share."""
    for score, _ in _statistics(question):
        yield _figure(question, score, CHANCE, count, 0.5 if score == "AUC" else _base_rate(question, score))


def _base_rate(question: _Question, score: str) -> float:
    share = np.bincount(question.truth, minlength=len(question.classes)) / len(question.truth)
    if score == "macro-F1":
        return float(share[share > 0].mean())
    return float(share[question.classes.index("N1") if score == "N1 F1" else 1])


def _figure(
    question: _Question, score: str, method: str, count: int, value: float | None, low: float | None = None,
    high: float | None = None, note: str = "",
) -> Figure:  # fmt: skip
    measure = f"{question.of} {score}, {count} example{'s' if count > 1 else ''} a class"
    return Figure(
        TASK, measure, method, value, len(question.rows), len(set(question.subjects)), low, high,
        _base_rate(question, score), note=note, detail={"of": question.of, "score": score, "examples": count},
    )  # fmt: skip
