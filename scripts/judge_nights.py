"""Does a night find its sleeper's other night? `python scripts/judge_nights.py nights/ --subjects 30 --hours 2`

Two nights of each simulated subject, recorded at two sites with other montages, are ingested with an encoder. Printed
is the share of subjects whose second night is among the first five of all nights, for each way to compare nights; then
how much of it is the person and not the sleep: by what a night has all along alone, and with that taken away.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.simulation import simulate
from encoders.simulation.people import draw_subject
from retrieval import Cohort, cores, ingest
from retrieval.alike import Path as Course
from retrieval.alike import matched, path_of
from retrieval.by_night import Nights, nights
from retrieval.evaluation.figures import interval
from retrieval.night_numbers import STAGES, Staged, stages_of
from retrieval.pooled import GROUPS, measure_gaps, night_measures, pool, pooled_cosines, shared_mean, vectors_for
from retrieval.search import standardised
from retrieval.similar_nights import first_stage, paths

SEED = 90_001  # no encoder of ours was trained on these subjects
SITES = (
    "clinic",
    "mros-like",
    "shhs-like",
    "ccshs-like",
)  # all have EEG, belts, airflow and SpO2; labels, rates differ
FIRST = 5
# What a body has in any sleep: rates, amplitudes, rhythms.
PERSON = ("hr_mean_bpm", "breath_rate_per_min", "slow_wave_uv", "alpha_pct", "sigma_pct", "beta_pct", "spo2_mean_pct")

Scores = NDArray[np.float64]  # (nights, nights), higher is more alike; -inf or NaN on the diagonal


def seeds(first: int) -> Iterator[int]:
    """Seeds whose first subject comes with two nights or more."""
    return (seed for seed in count(first) if draw_subject(seed, 0).nights > 1)


def simulate_pairs(folder: Path, *, subjects: int, hours: float, seed: int = SEED) -> list[Path]:
    """The EDF files of two nights each of `subjects` people, and `subjects.csv` in `folder`.

    A subject is the first one of a seed, so that the same person can sleep at two sites: night 1 at one, and of nights
    1 and 2 at another the second. Each two of SITES come up equally often.
    """
    recordings, tables = [], []
    for number, own in zip(range(subjects), seeds(seed), strict=False):
        turn, lap = number % len(SITES), number // len(SITES)
        for night, site in ((1, SITES[turn]), (2, SITES[(turn + 1 + lap % (len(SITES) - 1)) % len(SITES)])):
            made = simulate(folder / f"{own}-{night}", nights=night, seed=own, sites=[site], hours=hours)[-1]
            recordings.append(made.edf)
            listed = pl.read_csv(made.edf.parent / "subjects.csv", infer_schema=False)
            tables.append(listed.filter(pl.col("recording") == made.recording))
    pl.concat(tables).write_csv(folder / "subjects.csv")
    return recordings


def ways(cohort: Cohort, names: list[str]) -> Iterator[tuple[str, Scores]]:
    """Every way to compare nights, with its scores."""
    snapshot, reader = cohort.snapshot, cohort.reader
    vectors = vectors_for(cohort.encoder, reader)
    stages, known = stages_of(snapshot, reader), nights(snapshot)
    means = pool(snapshot, vectors, stages, names)
    table = night_measures(snapshot, names)
    whole = means[:, GROUPS.index("all")]
    unit = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    yield "mean vector alone", (unit @ unit.T).astype(np.float64)
    yield "pooled vectors by stage", np.array([pooled_cosines(means, i) for i in range(len(names))], np.float64)
    first = np.array([first_stage(means, table, i)[2] for i in range(len(names))])
    yield "first stage (vectors and measures)", first
    aligned = _alignments(paths(snapshot, vectors, names, shared_mean(means)))
    yield "alignment alone", aligned
    yield "full: first stage and alignment", _rows(first) + _rows(aligned)
    yield "identity: rates and amplitudes alone", _by_measures(night_measures(snapshot, names, only=PERSON))
    yield "sleep: alignment less each night's mean", _alignments(paths(snapshot, vectors, names, None))
    yield "sleep: hypnograms aligned", _alignments(_hypnograms(stages, known, names))
    sleep = [c for c in table.columns if c.endswith(("_min", "_per_h")) and not c.startswith(("odi", "breath", "eye"))]
    yield "sleep: minutes of stages and scored indices", _by_measures(table.select("recording", *sleep))


def _alignments(courses: list[Course]) -> Scores:
    scores = np.full((len(courses), len(courses)), -np.inf)
    for i, one in enumerate(courses):
        for j, other in enumerate(courses[:i]):
            scores[i, j] = scores[j, i] = matched(one, other)[2]
    return scores


def _by_measures(table: pl.DataFrame) -> Scores:
    return -np.array([measure_gaps(table, i)[0] for i in range(table.height)])


def _hypnograms(stages: Staged, known: Nights, names: list[str]) -> list[Course]:
    """Paths of stages alone, as unit vectors along one axis a stage."""
    kinds = np.arange(len(STAGES))
    found = []
    for number in known.numbers(names):
        own = known.rows_of([number])
        rows = (stages.codes[own, None] == kinds).astype(np.float32)
        found.append(path_of(known.start_s[own], rows, 0.0))
    return found


def _rows(scores: Scores) -> Scores:
    """Each row standardised over the other nights."""
    out = np.full_like(scores, -np.inf)
    for i, row in enumerate(scores):
        others = np.arange(len(row)) != i
        out[i, others] = standardised(row[others])
    return out


def ranks(scores: Scores, queries: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each query's wanted night among all others, from 1; of ties the worst."""
    found = scores[queries].copy()
    found[np.arange(len(queries)), queries] = -np.inf
    return (found >= found[np.arange(len(queries)), wanted][:, None]).sum(axis=1)


def judge(cohort: Cohort) -> dict[str, object]:
    """Figures of each way, over the subjects of whom two nights are there."""
    rows = cohort.snapshot.sql("SELECT recording, subject, site FROM recordings ORDER BY subject, recording")
    rows = rows.sort("subject", pl.col("recording").str.slice(-2))
    names, subjects, sites = (rows[c].to_list() for c in ("recording", "subject", "site"))
    pairs = [(i, i + 1) for i in range(len(names) - 1) if subjects[i] == subjects[i + 1]]
    queries, wanted = np.array(pairs).T
    of = [subjects[i] for i in queries]
    figures = []
    for way, scores in ways(cohort, names):
        places = ranks(scores, queries, wanted)
        share = interval(lambda kept, found=places <= FIRST: float(found[kept].mean()), of)
        order = np.argsort(-np.where(np.eye(len(names), dtype=bool), -np.inf, scores), axis=1)[queries, :FIRST]
        same = np.mean([[sites[j] == sites[i] for j in row] for i, row in zip(queries, order, strict=True)])
        figure = {"way": way, "in_first": share.value, "low": share.low, "high": share.high}
        figures.append({**figure, "median_place": float(np.median(places)), "same_site_among_first": float(same)})
    chance = FIRST / (len(names) - 1)
    return {"nights": len(names), "subjects": len(pairs), "first": FIRST, "chance": chance, "figures": figures}


def main() -> None:
    """Prints one table, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="for the nights and the cohort; what is there already is used")
    parser.add_argument("--subjects", type=int, default=100)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--encoder", default=None, help="one that reads signals; default: the package's")
    parser.add_argument("--ingested", action="store_true", help="judge the cohort as it stands in FOLDER/cohort")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not asked.ingested:
        nights = simulate_pairs(asked.folder / "nights", subjects=asked.subjects, hours=asked.hours, seed=asked.seed)
        ingest(nights, asked.folder / "cohort", encoder=asked.encoder, workers=cores(),
               subjects=asked.folder / "nights" / "subjects.csv")  # fmt: skip
    result = judge(Cohort(asked.folder / "cohort"))
    if asked.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{result['subjects']} subjects, {result['nights']} nights; chance {result['chance']:.2f}; simulated")
    for f in result["figures"]:
        share = f"{f['in_first']:.2f} [{f['low']:.2f}, {f['high']:.2f}]"
        places = f"median place {f['median_place']:4.1f}, same site {f['same_site_among_first']:.2f}"
        print(f"{f['way']:<46} {share}  {places}")


if __name__ == "__main__":
    main()
