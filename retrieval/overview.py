"""What a cohort holds, in tables: recordings with their montage, quality and scoring, nights, and what failed."""

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from encoders.captions import load_nights
from encoders.vocabulary import CHANNELS
from retrieval.scorers import agreement_of

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

MOST = 1_000  # rows of a table that is shown whole
# What people look at first, in this order; a cohort shows those of which anything is known.
FIRST = (
    "recording", "subject", "age", "sex", "site", "duration_h", "tst_min", "se_pct", "waso_min", "n3_min", "rem_min",
    "ahi_scored_per_h", "ahi_3a_per_h", "rei_per_h", "ahi_device_per_h", "odi3_per_h", "t90_pct",
    "arousal_index_per_h", "plmi_per_h",
)  # fmt: skip
_HIDDEN = {"night_row", "fingerprint", "montage", "absent", "report", "id_hashed", "start_clock_s", "duration_s"}


def overview(cohort: "Cohort") -> dict[str, Any]:
    """Counts, sizes, spaces and engines as `Cohort.info`, and beside them `hours`, `sites`, `subjects_known`,
    `simulated`, the reasons of what failed in the last ingest, and how far scorers agree, all nights together."""
    info = cohort.info()
    rows = cohort.snapshot.sql(
        "SELECT subject, coalesce(r.site, r.cohort) AS site, r.duration_s, r.simulated, s.subject_known "
        "FROM recordings r LEFT JOIN subjects s USING (subject)"
    )
    sites = rows["site"].fill_null("not known").value_counts(sort=True)
    # Of a space the encoder's folder and the recordings it learned from are nobody's business on a page.
    spaces = {name: {key: facts[key] for key in ("dim", "collections")} for name, facts in info["spaces"].items()}
    return {
        **{key: value for key, value in info.items() if key not in ("path", "extra")},
        "spaces": spaces,
        "hours": float(rows["duration_s"].sum()) / 3600,
        "sites": dict(sites.iter_rows()),
        "subjects": rows["subject"].n_unique(),
        "subjects_known": rows.filter(pl.col("subject_known"))["subject"].n_unique(),
        "simulated": int(rows["simulated"].fill_null(False).sum()),
        "failed": list(info["extra"].get("failed", [])),
        "agreement": [
            pair.to_json() | {"words": str(pair)} for pair in agreement_of(cohort.snapshot) if pair.recording is None
        ],
    }


def recordings_table(cohort: "Cohort") -> dict[str, Any]:
    """`rows`, one a recording, the first MOST of `of`: what `Cohort.recordings` says, with `slots` (channel -> label
    and why), `missing` (channel -> why), `substitutes`, `usable` (channel -> share of the epochs) and `scorings`."""
    snapshot = cohort.snapshot
    shares = ", ".join(f"avg(ok_{c.lower()}::INT) AS {c}" for c in CHANNELS if f"ok_{c.lower()}" in snapshot.columns())
    usable = snapshot.sql(
        f"SELECT recording, count(*) AS epochs, any_value(substitutes) AS substitutes, {shares} "
        "FROM epoch_rows GROUP BY recording"
    )
    quality = {row.pop("recording"): row for row in usable.to_dicts()}
    told = snapshot.sql("SELECT recording, subject, coalesce(site, cohort) AS site, montage, absent FROM recordings")
    montage = {row["recording"]: row for row in told.to_dicts()}
    scored = snapshot.sql("SELECT recording, kind, scorer, scored, why FROM coverage ORDER BY recording, scorer, kind")
    scorings = {str(name): rows.drop("recording").to_dicts() for (name,), rows in scored.group_by("recording")}
    found = []
    for row in cohort.recordings()[:MOST]:
        name = row["recording"]
        slots, absent = json.loads(montage[name]["montage"]), json.loads(montage[name]["absent"] or "{}")
        shares_of = quality.get(name, {})
        found.append(row | {
            "subject": montage[name]["subject"], "site": montage[name]["site"], "epochs": shares_of.get("epochs", 0),
            "substitutes": shares_of.get("substitutes") or "",
            "slots": {c: slots[c] for c in CHANNELS if c in slots},
            "further": {c: why for c, why in slots.items() if c not in CHANNELS},
            "missing": {c: absent.get(c, "no such channel in the file") for c in CHANNELS if c not in slots},
            "usable": {c: shares_of.get(c) for c in CHANNELS if c in slots},
            "scorings": scorings.get(name, []),
        })  # fmt: skip
    return {"rows": found, "of": len(montage), "channels": list(CHANNELS)}


def nights_table(cohort: "Cohort", where: str | None = None) -> dict[str, Any]:
    """The cohort table: `rows`, the first MOST of `of`, and `columns` with unit, definition and whether they are shown
    `first`; columns of which nothing is known are left out."""
    nights = cohort.nights(where=where or None).with_columns(duration_h=pl.col("duration_s") / 3600)
    facts = {row["column"]: row for row in cohort.columns()}
    table = {**load_nights(), "duration_h": {"unit": "h"}}
    rest = [c for c in nights.columns if c not in FIRST and c not in _HIDDEN]
    kept = [c for c in (*FIRST, *rest) if c in nights.columns and nights[c].null_count() < nights.height]
    columns = [
        {
            "column": c,
            "unit": table.get(c, {}).get("unit") or facts.get(c, {}).get("unit", ""),
            "definition": table.get(c, {}).get("definition") or facts.get(c, {}).get("definition", ""),
            "first": c in FIRST,
            "number": nights.schema[c].is_numeric(),
        }
        for c in kept
    ]
    flat = nights.select(kept).with_columns(
        pl.col(c).list.join("; ") for c in kept if nights.schema[c] == pl.List(pl.String)
    )
    return {"rows": [list(row) for row in flat.head(MOST).iter_rows()], "of": nights.height, "columns": columns}
