"""Classification by prompts: the texts of tasks, what is refused, and the arithmetic of templates."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from encoders.captions import load_lexicon
from encoders.errors import BadInput
from encoders.vocabulary import CHANNELS, EVENTS, POSITIONS
from retrieval.zeroshot import (
    PromptTask,
    find_task,
    label_scores,
    label_vectors,
    load_tasks,
    open_task,
    presence_scores,
)


def embed(texts: Sequence[str]) -> np.ndarray:
    """A direction a text, fixed by its letters."""
    rows = np.array([np.random.default_rng(list(text.encode())).standard_normal(8) for text in texts], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def tasks_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_packaged_task_names_known_stages_events_and_concepts() -> None:
    columns = {name.lower().replace(" ", "_").replace("-", "_") for name in EVENTS}
    columns |= {"apnea_any", "hypopnea_any", "respiratory", "limb_movement_any"}
    for name, task in load_tasks().items():
        if task.event:
            assert task.event in columns and task.concept in load_lexicon().concepts, name
        elif task.column:
            known = {"stage": {"W", "N1", "N2", "N3", "REM"}, "position": set(POSITIONS.values())}
            assert set(task.means()) == known[task.column], name
        else:
            assert task.asks_presence and load_lexicon().concepts[str(task.concept)].evidence, name
        texts = [text for label in task.labels for text in task.texts(label)]
        assert len(texts) == len(set(texts)) and all(text[0].isupper() and text.endswith(".") for text in texts), name


def test_every_task_names_its_sensors_but_artifact_which_any_may_show() -> None:
    tasks = load_tasks()
    assert [name for name, task in tasks.items() if not task.sensors] == ["artifact"]
    beyond = {c for task in tasks.values() for chosen in task.sensors for c in chosen} - set(CHANNELS)
    assert beyond == {"leg", "snore"}
    assert [name for name in tasks if name.endswith("apnea")] == [
        "apnea", "obstructive_apnea", "central_apnea", "mixed_apnea"
    ]  # fmt: skip


def test_a_file_of_one_task_needs_no_name_and_one_of_several_does(tmp_path: Path) -> None:
    one = '[a]\nsensors = [["EEG_C3"], ["EEG_C4", "EOG_L"]]\n[a.labels]\nx = ["1"]\ny = ["2"]\n'
    path = str(tasks_of(tmp_path, one))
    assert open_task(path).sensors == (("EEG_C3",), ("EEG_C4", "EOG_L")) and not open_task(path).asks_presence
    tasks_of(tmp_path, one + '[b.labels]\npresent = ["1"]\nabsent = ["2"]')  # read again: a file may be edited
    with pytest.raises(BadInput, match="several tasks \\(a, b\\); name one"):
        open_task(path)
    assert open_task(f"{path}:b").asks_presence and open_task("staging") == find_task("staging")


def test_merged_stages_mean_both() -> None:
    assert find_task("staging_light").means() == {"W": "W", "N1": "light", "N2": "light", "N3": "N3", "REM": "REM"}


def test_a_label_is_the_unit_mean_of_its_texts_in_every_template(tmp_path: Path) -> None:
    path = tasks_of(
        tmp_path, '[side]\ntemplates = ["{}.", "lying {}."]\n[side.labels]\nleft = ["left"]\nright = ["right", "r"]'
    )
    task = load_tasks(path)["side"]
    assert task.texts("right") == ["Right.", "Lying right.", "R.", "Lying r."]
    for label, vector in zip(task.labels, label_vectors(task, embed), strict=True):
        mean = sum(embed([text])[0] for text in task.texts(label))
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_scores_are_cosines_and_unknown_epochs_have_none() -> None:
    task = find_task("apnea")
    vectors = np.vstack([embed(["one", "two"]), np.zeros((1, 8), np.float32)])
    scores = label_scores(vectors, task, embed)
    for i in range(2):
        for j, direction in enumerate(label_vectors(task, embed)):
            assert scores[i, j] == pytest.approx(float(vectors[i] @ direction), abs=1e-6)
    assert np.isnan(scores[2]).all()
    present, absent = list(task.labels).index("present"), list(task.labels).index("absent")
    assert presence_scores(vectors, task, embed)[:2] == pytest.approx(scores[:2, present] - scores[:2, absent])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[a]\ntemplate = ["{}"]\n[a.labels]\nx = ["1"]\ny = ["2"]', "Did you mean 'templates'"),
        ('[a.labels]\nx = ["1"]', "two or more"),
        ('[a.labels]\nx = ["1"]\ny = "2"', "list of one or more texts"),
        ('[a.labels]\nx = ["1"]\ny = []', "list of one or more texts"),
        ('[a]\ntemplates = ["epoch"]\n[a.labels]\nx = ["1"]\ny = ["2"]', "each needs {}"),
        ('[a]\nholds = {xx = ["N1"]}\n[a.labels]\nx = ["1"]\ny = ["2"]', "no such label 'xx'. Did you mean 'x'"),
        ('[a]\nevent = "arousal"\n[a.labels]\nyes = ["1"]\nno = ["2"]', "present and absent"),
        ('[a]\nconcept = "arousel"\n[a.labels]\nx = ["1"]\ny = ["2"]', "Did you mean 'arousal'"),
        ('[a]\nsays = 3\n[a.labels]\nx = ["1"]\ny = ["2"]', "write it as a text"),
        ('[a]\nsensors = ["EEG_C3"]\n[a.labels]\nx = ["1"]\ny = ["2"]', "give sets of channels"),
        ('[a]\nsensors = [[]]\n[a.labels]\nx = ["1"]\ny = ["2"]', "list of one or more texts"),
        ('says = "x"', "belongs to no task"),
        ("", "holds no task"),
        ("[a", "mine.toml: no tasks can be read"),
    ],
)
def test_a_bad_task_is_refused_in_one_line_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        load_tasks(tasks_of(tmp_path, text))
    assert said in str(refused.value) and "mine.toml" in str(refused.value) and "\n" not in str(refused.value)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean 'staging'"):
        find_task("stageing")


def test_every_task_is_written_as_a_file_that_reads_as_itself(tmp_path: Path) -> None:
    for task in load_tasks().values():
        assert open_task(str(tasks_of(tmp_path, task.to_toml()))) == task


def test_odd_names_and_texts_come_back_from_a_file_as_they_were(tmp_path: Path) -> None:
    labels = {"fast \\ slow": ('"Deep" sleep.', "tab\there"), "å.b": ("ü\x7f",), "15": ("Sleep.",)}
    task = PromptTask("my task", labels, holds={"å.b": ("N2", "N3")}, column="stage", templates=("{}.", "It is {}."))
    assert open_task(str(tasks_of(tmp_path, task.to_toml()))) == task


def test_a_task_of_one_finding_is_five_lines() -> None:
    task = PromptTask("alpha", {"present": ("Alpha.",), "absent": ("No alpha.",)}, sensors=(("EEG_C3",), ("EEG_C4",)))
    assert task.to_toml().splitlines() == [
        "[alpha]", 'sensors = [["EEG_C3"], ["EEG_C4"]]', "[alpha.labels]", 'present = ["Alpha."]',
        'absent = ["No alpha."]',
    ]  # fmt: skip
