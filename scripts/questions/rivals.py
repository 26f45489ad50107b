"""Who is asked beside the whole search: words alone (BM25), captions alone, signals alone, and all but the signals.

An answerer takes a question and whether nights are wanted, and gives up to ten stretches, best first. The plain ones
rank every epoch (or night) and refuse nothing but a question that scores nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.vocabulary import EPOCH_S
from retrieval import Cohort
from retrieval.search import merge_runs

K = 10
Stretch = tuple[str, float, float]  # recording, start_s, stop_s
Answerer = Callable[[str, bool], list[Stretch]]
_PARTS = ("text_stage_event", "text_brain", "text_heart", "text_respiratory", "text_position_muscle")


def searching(cohort: Cohort) -> Answerer:
    """The search as a user has it; what it refuses as no question is no answer."""

    def answer(ask: str, nights: bool) -> list[Stretch]:
        try:
            hits = cohort.search(ask, k=K, level="night" if nights else "epoch").hits
        except BadInput:
            return []
        return [(hit.recording, hit.start_s, hit.stop_s) for hit in hits]

    return answer


class Bm25:
    """BM25 (Robertson and Zaragoza 2009) over texts, by words as scikit-learn's CountVectorizer splits them."""

    def __init__(self, texts: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        self._words = CountVectorizer(token_pattern=r"(?u)\b\w+\b")
        counts = self._words.fit_transform(texts).tocsc()
        length = np.asarray(counts.sum(axis=1)).ravel()
        held = np.diff(counts.indptr)  # in how many texts each word stands
        idf = np.log1p((len(texts) - held + 0.5) / (held + 0.5))
        longer = k1 * (1 - b + b * length / length.mean())
        counts.data = counts.data * (k1 + 1) / (counts.data + longer[counts.indices]) * np.repeat(idf, held)
        self._weights = counts

    def score(self, question: str) -> NDArray[np.float64]:
        """The score of each text; zero where they share no word."""
        asked = self._words.transform([question])
        return np.asarray(self._weights[:, asked.indices].sum(axis=1)).ravel()


class Plain:
    """The three plain answerers of one cohort."""

    def __init__(self, cohort: Cohort, *, seed: int = 0) -> None:
        self._cohort, snapshot = cohort, cohort.snapshot
        texts = ", ".join(f"coalesce({part}, '')" for part in _PARTS)
        self._rows = snapshot.sql(
            f"SELECT epoch_id, recording, epoch, start_s, caption_id, concat_ws(' ', {texts}) AS text FROM epochs"
        ).sort("epoch_id")
        # Equal captions are many; among them chance decides, not the order of the files.
        self._chance = np.random.default_rng(seed).permutation(self._rows.height)
        self._reports = snapshot.sql("SELECT recording, report FROM nights ORDER BY recording")
        self._epoch_words, self._night_words = (
            Bm25(self._rows["text"].to_list()),
            Bm25(self._reports["report"].to_list()),
        )
        self._captions = snapshot.vectors(cohort.encoder.space, "caption", self._rows["caption_id"].to_numpy())
        self._night_captions = cohort.encoder.embed_texts(self._reports["report"].to_list())
        reader = cohort.reader
        self._signals = snapshot.vectors(reader.space, "signal", self._rows["epoch_id"].to_numpy()) if reader else None

    def answerers(self) -> dict[str, Answerer]:
        """By name; `signals` only where the cohort has an encoder that reads them."""
        named = {"BM25": self._by_words, "captions": self._by_captions}
        if self._signals is not None:
            named["signals"] = self._by_signals
        return {name: partial(self._answer, score) for name, score in named.items()}

    def _answer(self, score: Callable[[str, bool], NDArray[np.float64]], ask: str, nights: bool) -> list[Stretch]:
        values = score(ask, nights)
        if nights:
            order = [i for i in np.argsort(-values, kind="stable")[:K] if values[i] > -np.inf]
            return [(self._reports["recording"][int(i)], 0.0, 0.0) for i in order]
        order = np.lexsort((self._chance, -values))
        ranked = self._rows[order[: int((values > -np.inf).sum())]]
        runs = merge_runs(ranked.select("recording", "epoch"), K)
        starts = [(ranked["recording"][run[0]], ranked["start_s"][run].to_list()) for run in runs]
        return [(recording, min(at), max(at) + EPOCH_S) for recording, at in starts]

    def _by_words(self, ask: str, nights: bool) -> NDArray[np.float64]:
        values = (self._night_words if nights else self._epoch_words).score(ask)
        return np.where(values > 0, values, -np.inf)

    def _by_captions(self, ask: str, nights: bool) -> NDArray[np.float64]:
        query = self._cohort.encoder.embed_texts([ask])[0]
        return _cosines(self._night_captions if nights else self._captions, query)

    def _by_signals(self, ask: str, nights: bool) -> NDArray[np.float64]:
        assert self._cohort.reader is not None and self._signals is not None
        values = _cosines(self._signals, self._cohort.reader.embed_texts([ask])[0])
        if not nights:
            return values
        known = self._rows.select("recording", pl.Series("value", values)).filter(pl.col("value") > -np.inf)
        means = dict(known.group_by("recording").agg(pl.col("value").mean()).iter_rows())
        return np.array([means.get(recording, -np.inf) for recording in self._reports["recording"]])


def _cosines(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of unit rows with the query; -inf for a row that is zero or absent: unknown."""
    known = np.isfinite(vectors).all(axis=1) & (np.abs(vectors) > 0).any(axis=1)
    return np.where(known, np.nan_to_num(vectors) @ query, -np.inf).astype(np.float64)
