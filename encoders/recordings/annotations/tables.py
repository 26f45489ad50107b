"""Tables with a header line: BIDS `events.tsv` and our own CSV.

THE CSV FORMAT (UTF-8; comma, semicolon or tab). Either one row per stage or event

    # scope: stages, arousals, respiratory events
    # scorer: human
    onset_s,duration_s,label,channel,scorer
    0,30,W,,
    312.5,14.2,obstructive apnea,AF,

or one row per epoch

    epoch,stage,scorer
    1,W,
    2,N1,

- `onset_s`: seconds from the recording's first sample; `duration_s`: seconds, 0 or empty for a moment (a stage without
  duration lasts until the next). `channel` and `scorer` may be missing, as columns or as values.
- `label`, `stage`: W N1 N2 N3 REM NREM unscored, or an AASM event name: obstructive apnea, central apnea, mixed apnea,
  apnea, hypopnea, RERA, desaturation, arousal, limb movement, periodic limb movement, snoring; "Lights off", "Lights
  on".
- `epoch` counts from 1 in steps of 30 s (`# epoch_s: 20` says otherwise); a file that has an epoch 0 counts from 0.
- Bare numbers mean nothing unless the file says what: `# codes: 0=W, 1=N1, 2=N2, 3=N3, 4=REM`.
- `# scope:` lists all that the scorer looked for: stages, arousals, respiratory events, desaturations, limb movements.
  Without it a kind of which the file holds no event counts as not scored: no event is not the same as nobody looked.
- Several scorers: their names in `scorer`. `human`, `human 2` are people, `auto:NAME` programs, `device` machines.
- A row with a value that cannot be used (empty, nan, negative) is left out and reported; if all are, the file
  is refused.
"""

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import own, table
from encoders.recordings.annotations.codes import declared_codes, split_comments
from encoders.recordings.annotations.sheet import Mark, Sheet, number, quoted, read_text, split_row
from encoders.vocabulary import EPOCH_S, KINDS

_WORDS: Final = (
    "trial_type",
    "event_type",
    "annotation",
    "description",
    "label",
    "value",
)  # text columns of events.tsv
_PEOPLE: Final = re.compile(r"hum|expert|scorer|rater|consensus|majority|manual|technician", re.IGNORECASE)
EXPORT: Final = f"{own.MARK}_export"  # in the JSON beside an export of ours: whose it is
_SHOWN: Final = 5  # bad rows quoted in full; the rest is counted


def check_scope(kinds: Iterable[str], where: str) -> dict[str, str]:
    """`kind -> "declared"`; UnreadableAnnotations naming the nearest kind for a word that is none."""
    scope = {}
    for kind in (word.strip().casefold() for word in kinds):
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UnreadableAnnotations(f"{where}: scope {kind[:40]!r} is no kind; {hint}Kinds: {', '.join(KINDS)}.")
        scope[kind] = "declared"
    return scope


def _report(sheet: Sheet, bad: list[str]) -> None:
    sheet.skipped += [f"{line} (row left out)" for line in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        sheet.skipped.append(f"and {len(bad) - _SHOWN} more rows left out")


def _rows(path: Path, text: str) -> tuple[list[str], list[str], list[tuple[int, dict[str, str]]]]:
    """(comments, column names, (line number, values) of each row); the delimiter is the header's."""
    comments, lines = split_comments(text)
    if not lines:
        raise UnreadableAnnotations(f"{path.name}: no header line; wanted 'onset_s,duration_s,label' or 'epoch,stage'.")
    delimiter = max("\t,;", key=lines[0].count)
    numbered = [
        (i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip() and not line.lstrip().startswith("#")
    ]
    header = [cell.casefold() for cell in split_row(numbered[0][1], delimiter)]
    empty = dict.fromkeys(header, "")
    return (
        comments,
        header,
        [(i, empty | dict(zip(header, split_row(line, delimiter), strict=False))) for i, line in numbered[1:]],
    )


def _seconds(row: dict[str, str], column: str) -> float:
    """A number of 0 or more; ValueError with the words for the report otherwise."""
    value = number(row[column])
    if value is None or value < 0:
        raise ValueError(f"{column} {quoted(row[column])} is not a number of 0 or more")
    return value


def _duration(row: dict[str, str], column: str) -> float | None:
    """The same, None where it is left out."""
    return None if row[column].casefold() in ("", "n/a") else _seconds(row, column)


def read_csv(path: Path) -> list[Sheet]:
    """The CSV of this module's docstring: one sheet per scorer, in the order of their first rows."""
    base = Sheet("csv", path, [])
    comments, header, rows = _rows(path, read_text(path, base.repairs))
    by_epoch = {"epoch", "stage"} <= set(header)
    if not by_epoch and not {"onset_s", "duration_s", "label"} <= set(header):
        raise UnreadableAnnotations(
            f"{path.name}: columns {', '.join(header)[:120]}; wanted 'onset_s,duration_s,label[,channel][,scorer]' "
            "or 'epoch,stage'."
        )
    scope: dict[str, str] = {}
    epoch_s, scorer, codes = EPOCH_S, "human", {}
    for comment in comments:
        key, _, value = comment.partition(":")
        if key.strip() == "scope":
            scope = dict.fromkeys(check_scope(value.split(","), path.name), "declared in the file")
        elif key.strip() == "scorer" and value.strip():
            scorer = value.strip()
        elif key.strip() == "epoch_s":
            epoch_s = number(value) or 0.0
            if not 0.5 <= epoch_s <= 300:
                raise UnreadableAnnotations(
                    f"{path.name}: epoch_s {value.strip()[:20]!r} is no epoch length; wanted 0.5 to 300."
                )
        elif key.strip() == "codes":
            codes = declared_codes(value)
    first = 0 if by_epoch and any(row["epoch"] == "0" for _, row in rows) else 1
    sheets: dict[str, Sheet] = {}
    bad: list[str] = []
    for i, row in rows:
        try:
            if by_epoch:
                count = _seconds(row, "epoch")
                if count != int(count) or count < first:
                    raise ValueError(f"epoch {quoted(row['epoch'])} is not a whole number from {first}")
                mark = Mark((count - first) * epoch_s, epoch_s, row["stage"], is_stage=True)
            else:
                onset, duration = _seconds(row, "onset_s"), _duration(row, "duration_s")
                mark = Mark(onset, duration, row["label"], row.get("channel") or None)
            if mark.text.casefold() in ("", "nan"):
                raise ValueError(f"{'stage' if by_epoch else 'label'} {mark.text!r} is no text")
        except ValueError as error:
            bad.append(f"line {i}: {error}")
            continue
        name = row.get("scorer") or scorer
        sheets.setdefault(name, Sheet("csv", path, [], scorer=name, free_text=True)).marks.append(mark)
    if not sheets and (bad or not scope):
        raise UnreadableAnnotations(f"{path.name}: no usable row; {bad[0] if bad else 'it has a header only'}.")
    if not sheets:
        sheets[scorer] = Sheet("csv", path, [], scorer=scorer)  # a declared scope and no event: scored, and none found
    for sheet in sheets.values():
        sheet.epoch_s, sheet.scope, sheet.own_codes, sheet.repairs = (
            epoch_s if by_epoch else None,
            scope,
            codes,
            base.repairs,
        )
        if by_epoch:
            sheet.notes.append(f"epochs count from {first}")
    _report(next(iter(sheets.values())), bad)
    return list(sheets.values())


def _sidecar(path: Path) -> dict[str, Any]:
    """The JSON beside a table; empty when there is none."""
    try:
        said = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _levels(sidecar: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """`column -> code -> stage` from the `Levels` of the JSON beside an events.tsv."""
    found: dict[str, dict[str, str]] = {}
    for column, told in sidecar.items():
        levels = told.get("Levels") if isinstance(told, dict) else None
        for code, meaning in (levels or {}).items() if isinstance(levels, dict) else ():
            words = meaning.get("Description", "") if isinstance(meaning, dict) else str(meaning)
            if stage := table.stage_of("bids", words, in_column=True):
                found.setdefault(column.casefold(), {})[code] = stage
    return found


def _scorer(column: str) -> str:
    """Who filled a stage column: `stage_hum` a person, `stage_ai` a program; BOAS's own AI is Bitbrain's."""
    _, _, who = column.partition("stage")
    who = who.strip("_ ")
    if not who or who in ("hum", "human"):
        return "human"
    return f"human {who}" if _PEOPLE.search(who) else f"auto:{who}"


def read_bids(path: Path) -> list[Sheet]:
    """BIDS events.tsv: `onset`, `duration`, stage columns (one scorer each) and a text column such as `trial_type`.

    Codes of a stage column come from the `Levels` of the JSON beside it; BOAS (`stage_hum`, `stage_ai`) has none, its
    codes are in our table.
    """
    base = Sheet("bids", path, [])
    _, header, rows = _rows(path, read_text(path, base.repairs))
    if not {"onset", "duration"} <= set(header):
        raise UnreadableAnnotations(
            f"{path.name}: columns {', '.join(header)[:120]}; BIDS events.tsv has 'onset' and 'duration'."
        )
    columns = [name for name in header if re.match(r"(sleep_?)?stag(e|ing)", name)]
    words = next((name for name in _WORDS if name in header), None)
    if not columns and words is None:
        raise UnreadableAnnotations(
            f"{path.name}: no column of stages or events in {', '.join(header)[:120]}; wanted 'stage' or 'trial_type'."
        )
    sidecar = _sidecar(path)
    levels = _levels(sidecar)
    boas = {"stage_hum", "stage_ai"} <= set(columns)
    sheets = {
        name: Sheet(
            "bids", path, [], codes="boas" if boas and not levels.get(name) else "", repairs=base.repairs,
            scorer="auto:bitbrain" if boas and name == "stage_ai" else _scorer(name), own_codes=levels.get(name, {}),
        )
        for name in columns
    }  # fmt: skip
    texts = Sheet("bids", path, [], free_text=True, repairs=base.repairs, own_codes=levels.get(words or "", {}))
    bad: list[str] = []
    for i, row in rows:
        try:
            onset = number(row["onset"])  # BIDS allows events before the first sample
            if onset is None:
                raise ValueError(f"onset {quoted(row['onset'])} is not a number")
            duration = _duration(row, "duration")
        except ValueError as error:
            bad.append(f"line {i}: {error}")
            continue
        for name, sheet in sheets.items():
            # A table of events and stages together leaves the stage column n/a in its event rows.
            if row[name] and not (words and row[name].casefold() == "n/a"):
                sheet.marks.append(Mark(onset, duration, row[name], is_stage=True))
        if words and row[words].casefold() not in ("", "n/a"):
            sensor, lowest_pct = row.get("channel"), number(row.get("spo2_min_pct"))
            texts.marks.append(Mark(onset, duration, row[words], None if sensor in ("", "n/a") else sensor, lowest_pct))
    people = next((sheet for sheet in sheets.values() if sheet.scorer.startswith("human")), None)
    if people is not None and texts.marks:
        people.marks += texts.marks
        people.own_codes = {**texts.own_codes, **people.own_codes}
        texts.marks = []
    said = sidecar.get(EXPORT)
    if isinstance(said, dict):
        facts = {str(key): str(value) for key, value in said.items()}
        claimed = [sheet for sheet in (*sheets.values(), texts) if own.claim(sheet, facts)]
        return [sheet for sheet in claimed if sheet.marks] or claimed[:1]
    found = [sheet for sheet in (*sheets.values(), texts) if sheet.marks]
    if not found:
        raise UnreadableAnnotations(f"{path.name}: no usable row; {bad[0] if bad else 'it has a header only'}.")
    _report(found[0], bad)
    return found
