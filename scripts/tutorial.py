"""Sleepsearch from Python, in five minutes: `python scripts/tutorial.py [FOLDER]` runs it all, in about a minute.

Three simulated nights of an hour become a cohort, and answer one question of each kind. Your own nights take the same
way, from `make_cohort` on. Each cell is one step: run it in an editor, then call its function. FOLDER keeps the files
(default: a temporary one). Times are seconds from a recording's start, a stretch is `[start_s, stop_s)`.

Every result is a frozen dataclass: its fields are the answer, `.to_json()` gives plain values, and `.frame()` a polars
frame where there are rows. What could not be judged is counted in `not_assessable`, and never ranked.
"""

import sys
import tempfile
from pathlib import Path

import polars as pl

from retrieval import Answer, Classification, Cohort, FewShot, Located, cores, ingest, simulate


# %% 1. Simulate three nights
def make_nights(folder: Path) -> Path:
    """EDF files of three sites, their scoring, `subjects.csv`, and the truth in `NAME.truth.parquet`."""
    for night in simulate(folder, nights=3, hours=1, seed=13, sites=["ccshs-like", "hmc-like", "mros-like"]):
        print(night["recording"], *night["files"])
    return folder


# %% 2. Make them searchable
def make_cohort(nights: Path, root: Path) -> Cohort:
    """Expect 3 recordings of 120 epochs each, and an empty frame of failures; a second call would skip all three."""
    report = ingest([nights], root, subjects=nights / "subjects.csv", workers=min(2, cores()))
    print(f"{report.recordings} recordings, {report.epochs} epochs in {report.seconds} s")
    print(report.frame())
    cohort = Cohort.open(root)
    print(cohort, "vectors:", *cohort.info()["spaces"])
    return cohort


# %% 3. Look at the nights
def look(cohort: Cohort) -> pl.DataFrame:
    """Expect one row a night; null is unknown, as the AHI where nobody scored breathing. `columns` defines each."""
    nights = cohort.nights()
    print(nights.select("recording", "age", "sex", "tst_min", "rem_min", "ahi_scored_per_h", "odi3_per_h"))
    print(next(c["definition"] for c in cohort.columns() if c["column"] == "odi3_per_h"))
    for recording in cohort.recordings():
        print(recording["recording"], "scored:", recording["scored"], "notes:", recording["notes"][:1])
    return nights


# %% 4. Search, with a filter, and ask why
def ask(cohort: Cohort) -> Answer:
    """Expect stretches that somebody scored REM, each with its reasons; `where` is SQL over the columns above."""
    answer = cohort.search("REM sleep", where="age > 18", k=5)
    print("understood:", answer.understood, "filter:", answer.filter)
    print(f"searched {answer.searched} epochs, not assessable: {answer.not_assessable}")
    for hit in answer.hits:
        print(hit, *hit.why, sep="\n    ")
    print(answer.frame().select("recording", "start_s", "stop_s", "stage", pl.col("caption").struct.field("brain")))
    best = answer.hits[0]
    (samples, *_) = cohort.waveform(best.recording, best.start_s, best.stop_s, ["EEG_C4", "EEG_C3"]).values()
    print("behind the best hit:", samples)
    return answer


# %% 5. More like this
def alike(cohort: Cohort, place: str) -> Answer:
    """Expect epochs of a like caption for a moment, and whole nights, with the parts that agree, for a recording."""
    print(cohort.describe(place)["captions"])
    epochs = cohort.similar(place, k=3)
    print(epochs.frame().select("recording", "start_s", "score", "stage"))
    nights = cohort.similar(place.partition("@")[0], k=2)
    print(nights.frame().select("recording", "score", "likeness", "why"))
    return epochs


# %% 6. Stages by words alone
def stage(cohort: Cohort) -> Classification:
    """Expect kappa well over 0.5 against the scorer: nothing was fitted, each epoch took the nearest description."""
    stages = cohort.classify("staging")
    print(stages.frame().select("recording", "start_s", "label", "scored", "score_REM").head(3))
    if agreement := stages.agreement:
        print(f"against {agreement.scorer}: macro-F1 {agreement.macro_f1:.2f}, kappa", agreement.kappa)
        print(pl.DataFrame({"stage": agreement.f1.keys(), "f1": agreement.f1.values()}))
    print(*stages.notes, sep="\n")
    return stages


# %% 7. A label of your own, from a few examples
def learn(cohort: Cohort, epochs: pl.DataFrame) -> FewShot:
    """Expect REM found in the third night from examples in two. Labels keep author and time, and stay in the cohort.

    Here the scorer's marks play the person who looks; `next` names the epochs that would teach the most.
    """
    called = pl.when(pl.col("scored") == "REM").then(pl.lit("REM")).otherwise(pl.lit("not REM"))
    scored = epochs.filter(pl.col("scored").is_not_null()).with_columns(called.alias("mine"))
    for name in scored["recording"].unique(maintain_order=True)[:2]:
        for mine, count in (("REM", 5), ("not REM", 10)):
            these = scored.filter(recording=name, mine=mine)
            for start_s in these["start_s"].sample(min(count, these.height), seed=1):
                cohort.label((name, start_s, start_s + 30), mine, author="tutorial")
    print(cohort.labels().group_by("label", "author").len().sort("label"))
    found = cohort.fewshot(labels=["REM", "not REM"], next_n=3)
    if found.scored:
        print(f"F1 against {found.scored.against}:", found.scored.f1)
    print("label next:", *found.next, sep="\n    ")
    return found


# %% 8. Where in the night is a sentence?
def point(cohort: Cohort, recording: str) -> Located:
    """Expect falls of oxygen: each best epoch with its seconds and the sensor that carries the words."""
    located = cohort.locate_words("oxygen desaturation", recording, peaks=3)
    print(located.frame().sort("z", descending=True, nulls_last=True).head(3))
    for moment in located.moments:
        print(f"{moment.from_s:g}-{moment.to_s:g} s by {moment.sensor}; scored there: {moment.events}")
    print("hiding what was named lowered the likeness (times, of):", located.agrees)
    return located


# %% 9. Out again
def write(cohort: Cohort, out: Path) -> None:
    """Expect a Luna `.annot` a night and scorer, with your labels, and vectors as NumPy, with a table of their rows."""
    for format in ("annot", "vectors"):
        print(cohort.export(out, format, overwrite=True).frame())


# %% All of it, once; reading nights starts processes that import this file, hence the guard
def main(folder: Path) -> None:
    """The whole way; see each step."""
    cohort = make_cohort(make_nights(folder / "nights"), folder / "cohort")
    nights = look(cohort)
    best = ask(cohort).hits[0]
    alike(cohort, f"{best.recording}@{best.start_s:g}")
    stages = stage(cohort)
    learn(cohort, stages.frame())
    point(cohort, nights.sort("odi3_per_h", descending=True, nulls_last=True)["recording"][0])
    write(cohort, folder / "out")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
