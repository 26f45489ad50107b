"""One measurement in a process of its own, printed as one JSON document; scripts/benchmark.py starts these.

python scripts/bench_measures.py reading "ours|mne fft|mne polyphase" FILE      one core, one thread, imports not timed
python scripts/bench_measures.py ingest SOURCE COHORT WORKERS                   imports timed
python scripts/bench_measures.py search COHORT ROUNDS                           once open
python scripts/bench_measures.py nights OUT HOURS                               the two nights that are read
python scripts/bench_measures.py stopband
"""

import functools
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

Json = dict[str, Any]
NOTES = "SLEEPSEARCH_BENCHMARK_NOTES"  # the folder where reading processes leave their stages
MIXED_HZ = {"ABD": 32, "THX": 32, "AF": 32, "POS": 1, "SPO2": 1, "HR": 1}
QUESTIONS = (
    "REM sleep with oxygen desaturation", "deep slow-wave sleep", "obstructive apnea longer than 20 s",
    "wake with alpha rhythm and blinks", "light sleep with spindles", "supine sleep with apneas",
    "heart rate above 90", "SpO2 below 88", "central apnea without arousal", "N2 without respiratory events",
    "hypopnea in REM in women", "people older than 60 with desaturation", "calm breathing in the left position",
    "eye movements and low chin tone", "irregular breathing", "arousal with heart rate acceleration",
    "stable N3 in men", "REM sleep in prone position", "low oxygen saturation during deep sleep", "awake and upright",
)  # fmt: skip
WHERE = "age > 40 AND stage = 'N2'"


class Stages:
    """Wall and CPU seconds of named stages; one that is reached from within another counts for the outer alone."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._inside = False

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if self._inside:
            yield
            return
        self._inside = True
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._inside = False
            spent = self.spent.setdefault(stage, [0.0, 0.0])
            spent[0] += time.perf_counter() - wall
            spent[1] += time.process_time() - cpu

    def wrap(self, owner: object, stage_of: dict[str, str]) -> None:
        """Count every call of these functions of `owner` for their stages."""
        for name, stage in stage_of.items():
            setattr(owner, name, self._counted(getattr(owner, name), stage))

    def _counted(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self(stage):
                return function(*args, **kwargs)

        return call


def peak_mb() -> float:
    """Peak resident memory of this process; Linux's ru_maxrss would be that of the parent where that had more."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- nights


def nights(out: str, hours: str) -> Json:
    """Simulated nights of twelve channels, all at 256 Hz and at a usual recorder's rates, each scored in an XML."""
    from encoders.simulation import simulate, site_facts

    canonical = {"ECG": "ecg", "ABD": "abdomen", "THX": "thorax", "AF": "airflow_therm", "EOG_L": "eog_l",
                 "EOG_R": "eog_r", "EEG_C3": "eeg_c3_m2", "EEG_C4": "eeg_c4_m1", "EMG_CHIN": "emg_chin",
                 "POS": "body_position", "SPO2": "spo2", "HR": "heart_rate"}  # fmt: skip
    shape = {"ECG": ("mV", 3), "ABD": ("", 4), "THX": ("", 4), "AF": ("", 4), "POS": ("", 0), "SPO2": ("%", 0),
             "HR": ("bpm", 0)}  # fmt: skip
    made = {}
    for word, rates in (("all at 256 Hz", {}), ("mixed rates", MIXED_HZ)):
        name = word.replace(" ", "-")
        signals = [[slot, channel, rates.get(slot, 256), *shape.get(slot, ("uV", 400))]
                   for slot, channel in canonical.items()]  # fmt: skip
        position = {"right": 0, "left": 1, "supine": 2, "prone": 3, "upright": 4}
        scores = ["stages", "arousals", "respiratory events", "desaturations", "limb movements"]
        site_facts()[name] = {"kind": "EDF", "annotations": "profusion xml", "scores": scores, "position": position,
                              "signals": signals}  # fmt: skip
        folder = Path(out) / name
        made[word] = str(simulate(folder, nights=1, seed=1, sites=[name], hours=float(hours))[0].edf)
    return made


# ---- reading


def reading(method: str, path: str) -> Json:
    """From the file to epochs at 64 Hz: ours with mask, quality and statistics, MNE's with the samples alone."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    seconds, stages = (_read_ours if method == "ours" else _read_mne)(method, Path(path))
    return {"seconds": seconds, "stages": stages, "peak_mb": peak_mb()}


def _read_ours(_: str, path: Path) -> tuple[float, dict[str, float]]:
    from encoders.recordings import epochs
    from encoders.recordings.recording import Recording, open_recording

    stages = Stages()
    stages.wrap(Recording, {"runs": "read"})
    stages.wrap(epochs, {"resample": "resample", "hold": "hold", "measure_blocks": "quality", "judge": "quality",
                         "_describe": "statistics", "_copy": "write out"})  # fmt: skip
    began = time.perf_counter()
    with stages("header"):
        recording = open_recording([path])
    found = epochs.build_epochs(recording, epochs.epoch_grid(recording.duration_s))
    seconds = time.perf_counter() - began
    assert found.signals is not None and found.signals.shape[1:] == (12, 1920) and found.present.any(axis=0).all()
    spent = {stage: wall for stage, (wall, _) in stages.spent.items()}
    return seconds, {**spent, "rest": seconds - sum(spent.values())}


def _read_mne(method: str, path: Path) -> tuple[float, dict[str, float]]:
    import warnings

    import mne

    warnings.simplefilter("ignore")
    mne.set_log_level("ERROR")
    began = time.perf_counter()
    raw = mne.io.read_raw_edf(path, preload=True)
    loaded = time.perf_counter()
    raw.resample(64, method=method.removeprefix("mne "))
    done = time.perf_counter()
    assert raw._data.shape[0] == 12
    return done - began, {"load": loaded - began, "resample": done - loaded}


def stopband() -> Json:
    """The least attenuation of sines from 32 to 128 Hz through 256 -> 64 Hz, on the grid and between its samples."""
    import numpy as np

    from encoders.recordings.resample import resample

    seconds = np.arange(256 * 20) / 256
    peaks = [
        np.abs(resample(np.sin(2 * np.pi * hz * seconds + phase).astype(np.float32), 256.0, offset_s, 640)).max()
        for hz in np.arange(32.0, 128.0, 0.1)
        for phase, offset_s in ((0.0, 5.0), (1.0, 5.0013))
    ]
    return {"db": float(-20 * np.log10(max(peaks)))}


# ---- ingest


def ingest(source: str, cohort: str, workers: str) -> Json:
    """A whole ingest in this fresh process, its reading processes included; stages of all of them in CPU seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    stages = Stages()
    with stages("import"):
        import retrieval
        from encoders.models import minilm
        from index import Writer
        from retrieval import ingest as door  # the function; its module is reached by name below
    module = sys.modules[door.__module__]
    notes = Path(cohort).parent / f"{Path(cohort).name}-notes"
    notes.mkdir()
    os.environ[NOTES] = str(notes)
    stages.wrap(module, {"discover": "discover", "load_encoder": "load encoder"})
    stages.wrap(minilm.MiniLM, {"embed_texts": "embed"})
    stages.wrap(
        Writer, {"fingerprints": "open catalog", "put": "catalog", "add_vectors": "vectors", "publish": "publish"}
    )
    module.read_night = read_night
    subjects = Path(source) / "subjects.csv"
    report = retrieval.ingest(
        [Path(source)], Path(cohort), subjects=subjects if subjects.exists() else None, workers=int(workers)
    )
    seconds, own_cpu = time.perf_counter() - began, time.process_time() - cpu
    assert not report.failed, report.failed
    counted = retrieval.Cohort(Path(cohort)).snapshot.sql(
        "SELECT count(DISTINCT caption_id) AS captions FROM epochs GROUP BY recording"
    )["captions"]
    workers_cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    read: dict[str, float] = {}
    for note in notes.iterdir():
        for stage, spent in json.loads(note.read_text()).items():
            read[stage] = read.get(stage, 0.0) + spent[1]
    return {
        "seconds": seconds, "cpu_s": own_cpu + workers_cpu.ru_utime + workers_cpu.ru_stime, "peak_mb": peak_mb(),
        "recordings": report.recordings, "epochs": report.epochs, "captions": statistics.median(counted),
        "sentences": statistics.median(_sentences(Path(cohort))),
        "parent": {stage: spent[1] for stage, spent in stages.spent.items()}, "workers": read,
    }  # fmt: skip


def _sentences(cohort: Path) -> list[int]:
    """Distinct sentences of each night."""
    import retrieval
    from encoders.captions import PARTS

    each = " UNION ".join(
        f"SELECT recording, c.{p} AS said FROM epochs JOIN captions c USING (caption_id)" for p in PARTS
    )
    rows = retrieval.Cohort(cohort).snapshot.sql(
        f"SELECT recording, count(DISTINCT said) AS n FROM ({each}) WHERE said <> '' GROUP BY recording"
    )
    return rows["n"].to_list()


def read_night(job: Any) -> Any:
    """`retrieval.night.read_night` with its stages timed; runs in a reading process, which finds it by this name."""
    started = time.process_time()  # all CPU until the first job: the interpreter and the imports
    from retrieval import night

    note = Path(os.environ[NOTES]) / str(os.getpid())
    first = not note.exists()
    stages = Stages()
    parts = {"fingerprint": "hash", "open_recording": "header", "read_annotations": "annotations",
             "build_epochs": "quality", "measure_epochs": "measures", "score_epochs": "scores",
             "caption_epochs": "captions", "night_report": "night report"}  # fmt: skip
    before = {name: getattr(night, name) for name in parts}
    stages.wrap(night, parts)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        result = night.read_night(job)
    finally:
        for name, function in before.items():
            setattr(night, name, function)
    rest = [time.perf_counter() - wall, time.process_time() - cpu]
    for i in (0, 1):
        rest[i] -= sum(spent[i] for spent in stages.spent.values())
    spent = {"start": [started, started], **stages.spent, "tables": rest}
    if not first:
        earlier = json.loads(note.read_text())
        spent = {s: [a + b for a, b in zip(earlier[s], t, strict=True)] for s, t in spent.items() if s != "start"}
        spent["start"] = earlier["start"]
    note.write_text(json.dumps(spent))
    return result


# ---- search


def search(cohort: str, rounds: str) -> Json:
    """Milliseconds of questions to an open cohort, each the median of the rounds, with the stages of the answers."""
    from retrieval import Cohort

    opened = Cohort(Path(cohort))
    epochs = opened.info()["counts"]["epochs"]
    opened.search(QUESTIONS[0])  # loads the encoder
    places = opened.snapshot.sql("SELECT recording, start_s FROM epochs USING SAMPLE 5 (reservoir, 1)").rows()
    kinds: dict[str, list[Callable[[], Any]]] = {
        "search": [functools.partial(opened.search, q) for q in QUESTIONS],
        "search --where": [functools.partial(opened.search, q, where=WHERE) for q in QUESTIONS],
        "similar": [functools.partial(opened.similar, f"{name}@{start_s:g}") for name, start_s in places],
    }
    result: Json = {"epochs": epochs, "peak_mb": peak_mb()}
    for kind, asks in kinds.items():
        per_question, stages = [], []
        for ask in asks:
            took = []
            for _ in range(int(rounds)):
                began, cpu = time.perf_counter(), time.process_time()
                answer = ask()
                took.append(((time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3))
                stages.append(answer.ms)
            per_question.append([statistics.median(t[i] for t in took) for i in (0, 1)])
        names = dict.fromkeys(name for ms in stages for name in ms)
        result[kind] = {
            "ms": statistics.median(wall for wall, _ in per_question), "slowest_ms": max(w for w, _ in per_question),
            "cpu_ms": statistics.median(cpu for _, cpu in per_question),
            "stages": {n: statistics.median(ms[n] for ms in stages if n in ms) for n in names},
        }  # fmt: skip
    return result


if __name__ == "__main__":
    what = {"reading": reading, "ingest": ingest, "search": search, "nights": nights, "stopband": stopband}
    print(json.dumps(what[sys.argv[1]](*sys.argv[2:])))
