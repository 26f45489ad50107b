"""Who is trained on and who is kept apart, and the batch of each step, always the same for one seed.

A batch follows from (seed, step) alone, so a run that was killed goes on with the batches that it would have had.
"""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.training.config import Data, Sampling, TrainConfig
from encoders.training.facts import INDEX, STAGE_LEVELS, claim
from encoders.training.objectives import People
from encoders.training.step import Said, Signals
from encoders.training.store import EpochStore
from encoders.training.texts import TextSampler
from encoders.vocabulary import CHANNELS

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Epochs of the store by use: `simulated` and `real` to train on, `kept` to look at."""

    simulated: Rows
    real: Rows
    kept: Rows

    @property
    def trained(self) -> Rows:
        return np.concatenate([self.simulated, self.real])


def split_store(store: EpochStore, data: Data) -> Split:
    """Whole subjects on one side: those of `validation` folders, of held-out sites, and a share of the others.

    Which subjects make the share follows from their names alone, so that every run on the same data keeps the same
    ones apart, and those of a smaller `subjects_used` are among those of a larger one. `BadInput` when nobody is left
    to train on, or a site is not there.
    """
    people = store.people
    sites = set(people["site"].drop_nulls())
    if absent := sorted(set(data.held_out_sites) - sites):
        raise BadInput(f"data.held_out_sites: no recording of {absent[0]!r}; sites are {', '.join(sorted(sites))}")
    apart = [Path(folder).resolve() for folder in data.validation]
    subjects = people["subject"].to_list()
    outside = {
        subject
        for subject, site, folder in zip(subjects, people["site"], store.folders, strict=True)
        if site in data.held_out_sites or any(folder.resolve().is_relative_to(root) for root in apart)
    }
    others = sorted(set(subjects) - outside, key=lambda name: hashlib.sha256(name.encode()).digest())
    kept = round(data.validation_share * len(others))
    if data.validation_share and not outside:
        kept = max(kept, 1)
    used = others[kept:][: max(1, round(data.subjects_used * (len(others) - kept)))]
    if not used:
        raise BadInput(
            f"data: {len(set(subjects))} subjects, all kept apart; add recordings, or lower validation_share"
        )
    simulated = people["simulated"].fill_null(False).to_numpy()
    trained, looked_at = np.isin(subjects, used), np.isin(subjects, [*outside, *others[:kept]])
    return Split(
        *(store.rows_of(np.flatnonzero(who)) for who in (trained & simulated, trained & ~simulated, looked_at))
    )


def people_of(people: pl.DataFrame, recording: Rows) -> People:
    """Whose epochs these are, as the objectives take it; the same numbers for the same table everywhere."""
    sites = {site: number for number, site in enumerate(sorted(set(people["site"].drop_nulls())))}
    age = people["age"].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    sex = np.array([{"F": 0, "M": 1}.get(sex, -1) for sex in people["sex"]])
    site = np.array([sites.get(site, -1) for site in people["site"]])
    age_years, sex_code, site_code = (torch.from_numpy(column[recording]) for column in (age, sex, site))
    return People(age_years, sex_code, site_code, torch.from_numpy(recording))


class Feed:
    """Batches over some epochs of a store; `rank` of `world` processes gets its share of the signals."""

    def __init__(
        self, store: EpochStore, split: Split, texts: TextSampler, config: TrainConfig, rank: int = 0, world: int = 1
    ) -> None:
        self._store, self._split, self._texts = store, split, texts
        self._sampling: Sampling = config.sampling
        self._seed, self._batch, self._rank, self._world = config.run.seed, config.schedule.batch, rank, world
        if self._batch % world:
            raise BadInput(f"schedule.batch = {self._batch}: must be a multiple of the {world} processes")
        seen = config.data.channels or CHANNELS
        if unknown := sorted(set(seen) - set(CHANNELS)):
            raise BadInput(f"data.channels: no sensor {unknown[0]!r}; possible are {', '.join(CHANNELS)}")
        everything = claim({"stage": STAGE_LEVELS})[INDEX["stage"]]
        told = store.people["stages_told"]
        self._told = np.array([everything if s is None else claim({"stage": s})[INDEX["stage"]] for s in told])
        self._seen = torch.tensor([channel in seen for channel in CHANNELS])

    def rows(self, step: int, count: int | None = None) -> Rows:
        """The epochs of that step's batch (or so many), drawn with replacement."""
        rng = np.random.default_rng([self._seed, step])
        simulated, real = self._split.simulated, self._split.real
        share, count = self._sampling.share_real, count or self._batch
        if share and len(real) and len(simulated):
            some = round(share * count)
            drawn = [rng.choice(real, some), self._of_nights(simulated, count - some, rng)]
            return rng.permutation(np.concatenate(drawn))
        return self._of_nights(self._split.trained, count, rng)

    def _of_nights(self, rows: Rows, count: int, rng: np.random.Generator) -> Rows:
        """So many of these epochs; where asked for, of few nights, so that a caption meets others of its own night."""
        if not (nights := self._sampling.nights):
            return rng.choice(rows, count)
        rows = np.sort(rows)
        of = self._store.recording[rows]
        night = np.resize(of[rng.integers(len(rows), size=min(nights, count))], count)
        first, last = np.searchsorted(of, night), np.searchsorted(of, night, side="right")
        return rng.permutation(rows[first + (rng.random(count) * (last - first)).astype(np.int64)])

    def at(self, step: int) -> tuple[Signals, Said]:
        """What that step is made from."""
        return self.of(self.rows(step), [self._seed, step, 1])

    def of(self, rows: Rows, seed: Sequence[int]) -> tuple[Signals, Said]:
        """These epochs as a batch, with texts drawn by that seed; their number is a multiple of the processes."""
        store, share = self._store, len(rows) // self._world
        mine = slice(self._rank * share, (self._rank + 1) * share)
        bits = store.bits[rows]
        drawn = self._texts.draw(bits, np.random.default_rng(seed))
        said = Said(
            *self._texts.bank.inputs(drawn),
            drawn.claims,
            bits,
            self._told[store.recording[rows]],
            store.moments[rows],
            people_of(store.people, store.recording[rows]),
        )
        return replace(self.signals(rows[mine]), rows=torch.arange(len(rows))[mine]), said

    def signals(self, rows: Rows) -> Signals:
        """The signals of these epochs, with the sensors that are looked at."""
        batch = self._store.batch(rows)
        return Signals(batch.x, batch.present & self._seen, batch.night, torch.arange(len(rows)))

    def bits(self, rows: Rows) -> NDArray[np.uint32]:
        """What is known of these epochs."""
        return self._store.bits[rows]

    def chunks(self, rows: Rows) -> Iterator[tuple[Rows, Signals, Said]]:
        """Epochs in batches, in their order, each with texts of its own that are always the same; the last one is left
        out where it is smaller, since losses among fewer epochs are lower.
        """
        size = min(self._batch, len(rows)) // self._world * self._world
        for number in range(len(rows) // size if size else 0):
            chunk = rows[number * size : (number + 1) * size]
            yield chunk, *self.of(chunk, [0, number])

    def steps(self, first: int) -> Generator[tuple[Signals, Said], None, None]:
        """Batches from that step on, each made ready while the one before is at work."""
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.at, first)
            while True:
                first += 1
                ready, coming = coming.result(), ahead.submit(self.at, first)
                yield ready
