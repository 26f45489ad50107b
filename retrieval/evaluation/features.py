"""An epoch as numbers that a simple classifier takes: the catalog's measures, standardised."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_measures
from retrieval.evaluation.sample import Sample

Values = NDArray[np.float64]


def measures_of(sample: Sample) -> Values:
    """The catalog's measures that are numbers, float64 `(n, measures)`; NaN where no sensor gave them."""
    names = [n for n, m in load_measures().items() if m.digits is not None and n in sample.frame.columns]
    return sample.frame.select(pl.col(names).cast(pl.Float64).fill_null(np.nan)).to_numpy()


def standardised(values: Values, over: NDArray[Any]) -> Values:
    """Each column less its mean over the rows `over`, in their standard deviations; unknown is the mean, zero."""
    there = values[over]
    known = np.isfinite(there)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, there, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, there - mean, 0.0) ** 2).sum(axis=0) / count)
    z = (values - mean) / np.where(spread > 1e-9, spread, np.inf)  # what never varies says nothing
    return np.where(np.isfinite(z), z, 0.0)


def unit(values: Values) -> Values:
    """Each row at length one; a row of zeros stays."""
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9))
