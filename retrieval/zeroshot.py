"""Zero-shot classification: how near the signals of an epoch lie to what each label says.

A task gives several texts for each label; a label's vector is the unit mean of theirs (template averaging, as CLIP
does), and an epoch's score is its cosine with that. A task of one label has texts for its presence and its absence.
Tasks stand in prompts.toml or in a user's own file of that form.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.captions import load_lexicon
from encoders.errors import BadInput, did_you_mean
from encoders.models import Encoder
from index import Snapshot
from retrieval.calibration import two_groups

PRESENT, ABSENT = "present", "absent"
_AT_ONCE = 8_192
Embed = Callable[[Sequence[str]], NDArray[Any]]  # texts to unit vectors (texts, dim), as `Encoder.embed_texts`


@dataclass(frozen=True, slots=True)
class PromptTask:
    """A question with its labels and their texts; fields as in prompts.toml."""

    name: str
    labels: Mapping[str, tuple[str, ...]]
    says: str = ""
    templates: tuple[str, ...] = ("{}",)
    column: str | None = None
    holds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    event: str | None = None
    concept: str | None = None
    sensors: tuple[tuple[str, ...], ...] = ()

    @property
    def asks_presence(self) -> bool:
        """Whether it asks for one thing, there or not."""
        return set(self.labels) == {PRESENT, ABSENT}

    def texts(self, label: str) -> list[str]:
        """Every text of a label, in every template, as sentences."""
        said = [template.replace("{}", text) for text in self.labels[label] for template in self.templates]
        return [text[:1].upper() + text[1:] for text in said]

    def means(self) -> dict[str, str]:
        """The label of each value of `column`."""
        return {value: label for label in self.labels for value in self.holds.get(label, (label,))}

    def to_toml(self) -> str:
        """The task as a file that `load_tasks` reads as the same one; what is as usual is left out."""
        plain = {key: getattr(self, key) for key in ("says", "column", "event", "concept")}
        lists = {key: value for key in ("sensors", "templates") if (value := getattr(self, key)) not in ((), ("{}",))}
        name = _key(self.name)
        lines = [f"[{name}]", *(f"{key} = {_text(value)}" for key, value in (plain | lists).items() if value)]
        for part, table in (("holds", self.holds), ("labels", self.labels)):
            if table:
                lines += [f"[{name}.{part}]", *(f"{_key(label)} = {_text(texts)}" for label, texts in table.items())]
        return "\n".join(lines) + "\n"


def load_tasks(path: Path | None = None) -> dict[str, PromptTask]:
    """The tasks of the package's prompts.toml, or of a file of its form, by name.

    `BadInput` names what is unknown or missing, and the nearest that is known.
    """
    where = path.name if path else "prompts.toml"
    try:
        text = path.read_text("utf-8") if path else (files("retrieval") / "prompts.toml").read_text("utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(
            f"{where}: no tasks can be read from it ({error}); give a TOML file with a table a task."
        ) from error
    if not tables:
        raise BadInput(f"{where}: it holds no task; write a table [NAME] with [NAME.labels], label = [texts].")
    return {name: read_task(where, name, table) for name, table in tables.items()}


def find_task(name: str, tasks: Mapping[str, PromptTask] | None = None) -> PromptTask:
    """The task of that name, among those of the package unless others are given; `BadInput` names the nearest."""
    known = load_tasks() if tasks is None else tasks
    if name not in known:
        raise BadInput(f"no task {name!r}; there are: {', '.join(known)}.{did_you_mean(name, known)}")
    return known[name]


def open_task(name: str) -> PromptTask:
    """The task of the package of that name, or of a file: `mine.toml`, `mine.toml:NAME` where it holds several."""
    path, suffix, chosen = name.partition(".toml")
    if not suffix:
        return find_task(name)
    tasks = load_tasks(Path(f"{path}.toml"))
    if not chosen and len(tasks) > 1:
        raise BadInput(
            f"{path}.toml holds several tasks ({', '.join(tasks)}); name one: {path}.toml:{next(iter(tasks))}"
        )
    return find_task(chosen.removeprefix(":") or next(iter(tasks)), tasks)


def label_vectors(task: PromptTask, embed: Embed) -> NDArray[np.float32]:
    """One unit vector a label, float32 `(labels, dim)`."""
    said = {label: task.texts(label) for label in task.labels}
    vectors = iter(embed([text for texts in said.values() for text in texts]))
    means = np.array([np.mean([next(vectors) for _ in texts], axis=0) for texts in said.values()], np.float32)
    unit: NDArray[np.float32] = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    return unit


def label_scores(vectors: NDArray[Any], task: PromptTask, embed: Embed) -> NDArray[np.float32]:
    """Cosine of each row of unit `vectors` `(n, dim)` with each label, float32 `(n, labels)`; no probability.

    Rows of a zero vector (nothing is known of the epoch) are NaN.
    """
    return cosines(vectors, label_vectors(task, embed))


def cosines(vectors: NDArray[Any], directions: NDArray[Any]) -> NDArray[np.float32]:
    """Of each row with each unit direction, float32 `(n, directions)`; NaN for rows of a zero vector."""
    scores: NDArray[np.float32] = np.asarray(vectors, np.float32) @ directions.T
    scores[~np.any(vectors, axis=1)] = np.nan
    return scores


def presence_scores(vectors: NDArray[Any], task: PromptTask, embed: Embed) -> NDArray[np.float32]:
    """How much nearer each row lies to the texts of `present` than to those of `absent`, float32 `(n,)`."""
    scores = label_scores(vectors, task, embed)
    at = {label: i for i, label in enumerate(task.labels)}
    difference: NDArray[np.float32] = scores[:, at[PRESENT]] - scores[:, at[ABSENT]]
    return difference


def epoch_scores(
    snapshot: Snapshot, reader: Encoder, task: PromptTask, labels: Sequence[str], ids: NDArray[Any],
    progress: Callable[[str, int, int], None] | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """Cosines `(n, labels)` of these epochs' signals with each label; NaN where nothing was embedded."""
    if progress:
        progress("reading the prompts", 0, len(ids))
    directions = label_vectors(task, reader.embed_texts)[[list(task.labels).index(label) for label in labels]]
    parts = [np.zeros((0, len(labels)), np.float32)]
    for first in range(0, len(ids), _AT_ONCE):
        parts.append(cosines(snapshot.vectors(reader.space, "signal", ids[first : first + _AT_ONCE]), directions))
        if progress:
            progress("holding words against signals", min(first + _AT_ONCE, len(ids)), len(ids))
    return np.concatenate(parts).astype(np.float64)


def nearest(
    scores: NDArray[np.float64], counts: NDArray[np.bool_], *, presence: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    """The label's number of each row, its margin, and the rule in words where it is not simply the nearest.

    `presence`: the two columns are absent and present. `counts` are the rows by which their groups are parted.
    """
    if not presence:
        top = np.sort(scores, axis=1)
        return np.nan_to_num(scores, nan=-2.0).argmax(axis=1), top[:, -1] - top[:, -2], []
    difference = scores[:, 1] - scores[:, 0]
    cut = max(0.0, two_groups(difference[counts]))
    rule = (
        f"the rule: present where an epoch is nearer to it than to absent by more than {cut:.3f}, the larger of zero "
        "and of where these epochs part into two groups; it does not know how frequent it is"
    )
    return (difference > cut).astype(np.int64), np.abs(difference - cut), [rule]


# ---- writing and reading a task


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: Any) -> str:
    """A text or lists of texts, as TOML writes them: as JSON does, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_task(where: str, name: str, table: object) -> PromptTask:
    """The task that a table of that form holds; `BadInput` says what of it, `where` it stands, can't be."""
    if not isinstance(table, dict):
        raise BadInput(f"{where}: {name} = {table!r} belongs to no task; put it into a table [NAME].")
    known = {f.name for f in fields(PromptTask)} - {"name"}
    for key in table.keys() - known:
        raise BadInput(
            f"{where}: [{name}] has the unknown key {key!r}; known: {', '.join(sorted(known))}."
            f"{did_you_mean(key, known)}"
        )
    labels = _lists(where, f"[{name}.labels]", table.get("labels", {}))
    if len(labels) < 2:
        raise BadInput(f"{where}: [{name}.labels] names {len(labels)} labels; give two or more, each with its texts.")
    holds = _lists(where, f"[{name}.holds]", table.get("holds", {}))
    for label in holds.keys() - labels.keys():
        raise BadInput(f"{where}: [{name}.holds] has no such label {label!r}.{did_you_mean(label, labels)}")
    plain = {key: table[key] for key in ("says", "column", "event", "concept") if key in table}
    for key, value in plain.items():
        if not isinstance(value, str):
            raise BadInput(f"{where}: [{name}] {key} = {value!r}; write it as a text.")
    templates = tuple(_lists(where, f"[{name}]", {"templates": table.get("templates", ["{}"])})["templates"])
    if any("{}" not in template for template in templates):
        raise BadInput(f"{where}: [{name}] templates = {list(templates)}; each needs {{}} where the text goes.")
    sensors = table.get("sensors", [])
    if not (isinstance(sensors, list) and all(isinstance(chosen, list) for chosen in sensors)):
        raise BadInput(f'{where}: [{name}] sensors = {sensors!r}; give sets of channels: [["EEG_C3"], ["EEG_C4"]].')
    sets = _lists(where, f"[{name}] sensors", {str(i): chosen for i, chosen in enumerate(sensors, 1)})
    if "event" in plain and set(labels) != {PRESENT, ABSENT}:
        raise BadInput(f"{where}: [{name}] asks for an event, so its labels are {PRESENT} and {ABSENT}.")
    concepts = load_lexicon().concepts
    if "concept" in plain and plain["concept"] not in concepts:
        concept = plain["concept"]
        raise BadInput(f"{where}: [{name}] concept {concept!r} is not in the lexicon.{did_you_mean(concept, concepts)}")
    return PromptTask(name, labels, templates=templates, holds=holds, sensors=tuple(sets.values()), **plain)


def _lists(where: str, of: str, table: object) -> dict[str, tuple[str, ...]]:
    """A table of names with one or more texts each."""
    if not isinstance(table, dict):
        raise BadInput(f"{where}: {of} is {table!r}; write a table of name = [texts].")
    for name, texts in table.items():
        if not (isinstance(texts, list) and texts and all(isinstance(text, str) and text.strip() for text in texts)):
            raise BadInput(f"{where}: {of} {name} = {texts!r}; give a list of one or more texts.")
    return {name: tuple(texts) for name, texts in table.items()}
