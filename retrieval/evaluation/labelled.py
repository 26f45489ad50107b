"""What a scorer said of the epochs, in the labels of a task."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.zeroshot import PromptTask

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """`codes` `(n,)`: the number of the scored label among the task's (of an event: 1 there, 0 not), -1 where the epoch
    counts for no method; `note` says what was left out.
    """

    task: PromptTask
    codes: Codes
    note: str

    @property
    def rows(self) -> Codes:
        """The epochs that count."""
        return np.flatnonzero(self.codes >= 0)
