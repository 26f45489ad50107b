"""What an encoder is held against on the same epochs: the catalog's measures with kNN, and the captions' words."""

import warnings

import numpy as np
from numpy.typing import NDArray

from encoders.captions import PARTS
from encoders.errors import BadInput
from encoders.models import TEXT_ENCODER
from retrieval.evaluation.features import measures_of
from retrieval.evaluation.sample import Sample
from retrieval.spaces import caption_vectors
from retrieval.zeroshot import Embed

ZERO_SHOT = "zero-shot"
CHANCE = "chance"
KNN = "measures + kNN"
MEASURED = "measured evidence"
CAPTIONS = "caption space (text:minilm)"
CAPTIONS_NOTE = "captions without their part stage_event, which names what is asked"
_SAID = tuple(part for part in PARTS if part != "stage_event")
_NEIGHBOURS = 25


def measures_knn(sample: Sample, truth: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
    """Chance of each class among the 25 nearest epochs of other subjects, by the catalog's measures; `(n, classes)`.

    `truth` `(n,)` numbers the classes from 0; -1 is unknown, and NaN in what comes back. The measures are standardised
    over the other subjects, unknown ones lie at their mean. None with one subject.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.flatnonzero(truth >= 0)
    subjects = sample.frame["subject"].to_numpy()[known]
    if len(np.unique(subjects)) < 2:
        return None
    features = measures_of(sample)[known]
    fewest = min(int((subjects != subject).sum()) for subject in np.unique(subjects))
    model = make_pipeline(
        StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True),
        KNeighborsClassifier(min(_NEIGHBOURS, fewest)),
    )  # fmt: skip
    there, codes = np.unique(truth[known], return_inverse=True)
    chances = np.full((len(truth), classes), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class or a measure that only one subject has
        found = cross_val_predict(
            model, features, codes, groups=subjects, cv=LeaveOneGroupOut(), method="predict_proba"
        )
    chances[known] = 0.0
    chances[np.ix_(known, there)] = found
    return chances


def caption_space(sample: Sample) -> tuple[NDArray[np.float32], Embed]:
    """Vectors `(n, dim)` of the captions in words, without their part stage_event, and what embeds questions there.

    Zero where a caption says nothing else.
    `BadInput` where there is no cohort behind the sample.
    """
    if sample.cohort is None:
        raise BadInput("these epochs have no captions behind them: draw them from a cohort to compare with its words.")
    encoder = sample.encoder if sample.encoder.name == TEXT_ENCODER else sample.cohort.encoder
    captions = sample.cohort.snapshot.sql(
        f"SELECT caption_id, {', '.join(_SAID)} FROM captions WHERE caption_id IN (SELECT caption_id FROM asked)",
        asked=sample.frame.select("caption_id").unique(),
    )
    vectors = caption_vectors(captions, _SAID, encoder.embed_texts, encoder.dim)
    row_of = {caption: row for row, caption in enumerate(captions["caption_id"])}
    return vectors[[row_of[caption] for caption in sample.frame["caption_id"]]], encoder.embed_texts


def left_out(**counts: int) -> str:
    """What was left out, in words: `left_out(unscored=3)` is "left out: 3 unscored"; nothing where nothing was."""
    said = [f"{count} {reason.replace('_', ' ')}" for reason, count in counts.items() if count]
    return f"left out: {', '.join(said)}" if said else ""
