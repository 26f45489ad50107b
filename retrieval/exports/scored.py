"""What one scorer said of one night, and what was found or labelled in it, as rows that every format writes its way."""

import re
from dataclasses import dataclass, field

from encoders.recordings.annotations.own import statement
from index import Labels, Snapshot
from retrieval.exports.order import Order
from retrieval.scorers import has_stages

_BIDS_SUFFIX = re.compile(r"_(eeg|ieeg|physio)$", re.IGNORECASE)  # what belongs to a recording is named without it


@dataclass(frozen=True, slots=True)
class Row:
    """`kind`: stage, event, lights, hit or label; `name`: a word of the vocabulary, `off`/`on`, a rank or a label."""

    kind: str
    name: str
    start_s: float
    stop_s: float
    channel: str | None = None
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """One file's worth: the scorer's stages and events, on the first page of a night its labels and hits too.

    `said` is what the file says of itself so that `ingest` knows it again; without a scorer, provenance alone.
    """

    recording: str
    stem: str
    scorer: str | None
    first: bool
    tells: frozenset[str]  # of `hypnogram` and `events`: the tables that have something to say
    said: dict[str, str]
    start_clock_s: float | None
    simulated: bool


def pages(order: Order) -> list[Page]:
    """The pages of all nights: a page a scorer, the default first; nights of which nothing is known have none."""
    wanted = ", ".join("?" for _ in order.recordings)
    if not wanted:
        return []
    snapshot, names = order.snapshot, list(order.recordings)
    facts = {
        row["recording"]: row
        for row in snapshot.sql(
            f"SELECT recording, start_clock_s, simulated, stage_rules FROM recordings WHERE recording IN ({wanted})",
            names,
        ).iter_rows(named=True)
    }
    noted = set(snapshot.sql("SELECT DISTINCT recording, scorer FROM events").iter_rows())
    lit = set(snapshot.sql("SELECT recording FROM nights WHERE lights_source = 'annotation'")["recording"])
    lit = lit if "stages" in order.what else set()
    scored = _scored(order, facts, noted) if order.what & {"stages", "events"} else {}
    marked = {hit.recording for hit in order.hits} if "hits" in order.what else set()
    if "labels" in order.what:
        marked |= set(Labels(order.cohort.root).frame()["recording"])
    found = []
    for name in names:
        stem = _BIDS_SUFFIX.sub("", name)
        scorers = scored.get(name) or ({None: {}} if name in marked else {})
        for number, (scorer, said) in enumerate(scorers.items(), 1):
            numbered = stem if number == 1 else f"{stem}.scorer{number}"
            stamp = {"tool": str(order.provenance["tool"]), "snapshot": str(order.provenance["snapshot"])}
            row, kinds = facts[name], set(said.get("scope", "").split(", ")) - {""}
            aside = number == 1 and (name in marked or name in lit)
            events = kinds - {"stages"} or aside or ("events" in order.what and (name, scorer) in noted)
            tells = frozenset([*(["hypnogram"] if "stages" in kinds else []), *(["events"] if events else [])])
            found.append(Page(name, numbered, scorer, number == 1, tells, said | stamp, row["start_clock_s"],
                              bool(row["simulated"])))  # fmt: skip
    return found


def _scored(
    order: Order, facts: dict[str, dict[str, object]], noted: set[tuple[str, str]]
) -> dict[str, dict[str | None, dict[str, str]]]:
    """Recording -> scorer -> its statement, in the order in which the scorers count."""
    coverage = order.snapshot.sql("SELECT recording, scorer, kind, scored, rowid AS place FROM coverage ORDER BY place")
    rules = _rules(order.snapshot)
    scopes: dict[tuple[str, str], list[str]] = {}
    for row in coverage.iter_rows(named=True):
        if row["recording"] in facts:
            scopes.setdefault((row["recording"], row["scorer"]), []).extend([row["kind"]] * row["scored"])
    found: dict[str, dict[str | None, dict[str, str]]] = {}
    for (name, scorer), scope in scopes.items():
        kept = [kind for kind in scope if ("stages" if kind == "stages" else "events") in order.what]
        if kept or ("events" in order.what and (name, scorer) in noted):
            rule = rules.get((name, scorer)) or str(facts[name]["stage_rules"] or "unknown")
            found.setdefault(name, {})[scorer] = statement(scorer, rule, kept)
    return found


def _rules(snapshot: Snapshot) -> dict[tuple[str, str], str]:
    if not has_stages(snapshot):
        return {}
    rows = snapshot.sql("SELECT DISTINCT recording, scorer, rules FROM stages")
    return {(name, scorer): rules for name, scorer, rules in rows.iter_rows()}


def rows_of(order: Order, page: Page) -> list[Row]:
    """Everything that stands on a page, by start."""
    found: list[Row] = []
    if page.scorer is not None:
        found += stages_of(order.snapshot, page.recording, page.scorer) if "stages" in order.what else []
        found += events_of(order.snapshot, page.recording, page.scorer) if "events" in order.what else []
        found += _lights(order.snapshot, page.recording) if page.first and "stages" in order.what else []
    if page.first and "labels" in order.what:
        labels = Labels(order.cohort.root).frame()
        found += [
            Row("label", row["label"], row["start_s"], row["stop_s"], None, {k: row[k] for k in ("author", "time")})
            for row in labels.iter_rows(named=True)
            if row["recording"] == page.recording
        ]
    if page.first and "hits" in order.what:
        found += [
            Row(
                "hit", str(rank), hit.start_s, hit.stop_s, None, {"score": f"{hit.score:g}", "query": order.words or ""}
            )
            for rank, hit in order.ranked(page.recording)
        ]
    return sorted(found, key=lambda row: (row.start_s, row.stop_s))


def stages_of(snapshot: Snapshot, recording: str, scorer: str) -> list[Row]:
    """That scorer's stages as scored; of a night read before the catalog kept them, those of its epochs."""
    kept = "SELECT stage, start_s, stop_s FROM stages WHERE recording = ? AND scorer = ? ORDER BY start_s"
    epochs = "SELECT stage, start_s, stop_s FROM epoch_rows WHERE recording = ? AND stage_source = ? ORDER BY start_s"
    rows = snapshot.sql(kept, [recording, scorer]).rows() if has_stages(snapshot) else []
    rows = rows or snapshot.sql(epochs, [recording, scorer]).rows()
    return [Row("stage", stage, start_s, stop_s) for stage, start_s, stop_s in rows]


def events_of(snapshot: Snapshot, recording: str, scorer: str) -> list[Row]:
    """That scorer's events, with the lowest saturation where the scorer stated one."""
    rows = snapshot.sql(
        "SELECT name, start_s, stop_s, channel, spo2_min_pct FROM events WHERE recording = ? AND scorer = ? "
        "ORDER BY start_s, stop_s",
        [recording, scorer],
    )
    return [
        Row("event", name, start_s, stop_s, channel, {} if low is None else {"spo2_min_pct": f"{low:g}"})
        for name, start_s, stop_s, channel, low in rows.iter_rows()
    ]


def _lights(snapshot: Snapshot, recording: str) -> list[Row]:
    """Lights off and on where the scorer noted them; those of a CSV or of an option are given again."""
    rows = snapshot.sql(
        "SELECT lights_off_s, lights_on_s FROM nights WHERE recording = ? AND lights_source = 'annotation'", [recording]
    )
    return [
        Row("lights", name, at_s, at_s)
        for row in rows.iter_rows()
        for name, at_s in zip(("off", "on"), row, strict=True)
    ]


def seconds(time_s: float) -> str:
    """Seconds to a microsecond, without needless digits."""
    return f"{time_s:.6f}".rstrip("0").rstrip(".")
