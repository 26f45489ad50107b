"""What a cohort of thousands of nights costs whoever asks it; scripts/benchmark.py starts these.

python scripts/bench_scale.py make SEED_COHORT COHORT NIGHTS     generate it (scripts/many_nights.py)
python scripts/bench_scale.py ask COHORT ROUNDS                  open it, then questions of every kind

A question is asked through `ui.web.asking.answer_json`, as the page does: the search with its outlines of nights. One
comes at once; then what `serve` reads ahead is read to its end, and each of QUESTIONS is asked in their order, which is
what the first visitor waits for, and ROUNDS times more (warm).
"""

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench_measures import peak_mb

Json = dict[str, Any]
QUESTIONS: dict[str, list[Json]] = {
    "words": [
        {"q": "REM sleep with oxygen desaturation"}, {"q": "deep slow-wave sleep"}, {"q": "irregular breathing"},
        {"q": "obstructive apnea longer than 20 s"}, {"q": "wake with alpha rhythm and blinks"},
        {"q": "a calm and quiet sleeper"}, {"q": "N2"},
    ],
    "numbers": [{"q": "SpO2 below 85"}, {"q": "heart rate above 90 in REM"}],
    "SQL": [
        {"q": "deep sleep", "where": "age > 60 AND sex = 'F'"},
        {"q": "arousal", "where": "spo2_min_pct < 90 AND stage = 'N2'"},
    ],
    "negation": [{"q": "REM without desaturation"}, {"q": "hypopneas without arousal"}],
    "time of night": [{"q": "REM in the first third of the night"}, {"q": "awake between 2 and 4 am"}],
    "order": [{"q": "arousal within 30 s after a hypopnea"}],
    "nights": [
        {"q": "fragmented REM with deep desaturations", "level": "night"},
        {"q": "severe sleep apnea in women over 60", "level": "night"},
    ],
    "like": [{"like": "{recording}@7200"}, {"like": "{recording}"}],
}  # fmt: skip


AT_ONCE: Json = {"q": "deep sleep with hypopneas"}  # before anything is read ahead


class Memory:
    """The most memory of its own, mapped files not counted, that this process has had, looked at every 20 ms."""

    def __init__(self) -> None:
        self.most_mb = own_mb()
        self._stop = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.most_mb = max(self.most_mb, own_mb())


def own_mb() -> float:
    """Resident memory of this process that is no file's; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    return int(status.read_text().split("RssAnon:")[1].split()[0]) / 1024 if status.exists() else 0.0


@contextmanager
def timed(into: Json, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    into[name] = (time.perf_counter() - began) * 1e3


def ask(root: str, rounds: str) -> Json:
    """Milliseconds of opening, of the page's header, and of every question, first and warm; memory after each."""
    from index.layout import folder_bytes
    from ui.web.asking import answer_json
    from ui.web.desk import Desk

    memory, found = Memory(), dict[str, Any]()
    with timed(found, "open"):
        desk = Desk(Path(root))
        cohort = desk.cohort
    with timed(found, "encoders"):
        _ = cohort.encoder, cohort.reader
    with timed(found, "header"):
        desk.state()
    with timed(found, "at once"):
        answer_json(cohort, AT_ONCE)
    with timed(found, "ahead"):
        desk.warm()
    found["epochs"] = cohort.snapshot.manifest.counts["epochs"]
    names = cohort.snapshot.sql("SELECT recording FROM recordings ORDER BY recording")["recording"]
    found["recordings"] = len(names)
    recording = names[len(names) // 2]
    asks: list[Json] = []
    for kind, each in QUESTIONS.items():
        for one in each:
            asked = {key: value.replace("{recording}", recording) for key, value in one.items()}
            asks.append({"kind": kind, "asked": asked, "said": " | ".join(asked.values()), "warm": [], "warm_cpu": []})
    for _ in range(1 + int(rounds)):
        for one in asks:
            began, cpu = time.perf_counter(), time.process_time()
            answer = answer_json(cohort, one["asked"])
            took, used = (time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3
            if "first" not in one:
                one |= {"first": took, "first_cpu": used, "hits": len(answer["hits"]), "searched": answer["searched"]}
            else:
                one["warm"].append(took)
                one["warm_cpu"].append(used)
            one |= {"stages": answer["ms"], "own_mb": own_mb()}
            print(
                f"{one['said']}: {took:.0f} ms, CPU {used:.0f} ms, {answer['ms']}, {one['own_mb']:.0f} MB",
                file=sys.stderr,
                flush=True,
            )
    for one in asks:
        one["ms"] = statistics.median(one["warm"] or [one["first"]])
        one["cpu_ms"] = statistics.median(one["warm_cpu"] or [one["first_cpu"]])
    found["bytes"] = folder_bytes(Path(root))
    return found | {"asks": asks, "own_mb": memory.most_mb, "peak_mb": peak_mb()}


def make(seed: str, cohort: str, nights: str) -> Json:
    """Seconds and bytes of generating it."""
    import many_nights

    began = time.perf_counter()
    many_nights.make(Path(seed), Path(cohort), int(nights))
    return {"seconds": time.perf_counter() - began, "peak_mb": peak_mb()}


if __name__ == "__main__":
    what: dict[str, Callable[..., Json]] = {"make": make, "ask": ask}
    print(json.dumps(what[sys.argv[1]](*sys.argv[2:])))
