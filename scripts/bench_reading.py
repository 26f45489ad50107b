"""The reading part of scripts/benchmark.py: a night into 30-second epochs at 64 Hz, against MNE in the same run.

Ours goes from the file's header to (n, 12, 1920) float32 with mask, quality and statistics; MNE loads and resamples to
64 Hz (FFT, its default, and polyphase). Every measurement is a process of its own, pinned to one core, one thread, the
file in the page cache; rounds alternate between the methods.

python scripts/bench_reading.py "ours|mne fft|mne polyphase" FILE       one measurement, as JSON
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench_tools import ONE_THREAD, ROOT, Row, Stages, peak_mb

OURS, MNE = "ours", ("mne fft", "mne polyphase")


def reading_rows(nights: dict[str, Path], rounds: int) -> list[Row]:
    """Compare all methods on each night; `nights` maps a word for a night to its EDF, the first being the aim's."""
    rows = []
    for number, (word, path) in enumerate(nights.items()):
        path.read_bytes()  # into the page cache
        found: dict[str, list[dict[str, Any]]] = {method: [] for method in (OURS, *MNE)}
        for _ in range(rounds):
            for method, runs in found.items():
                runs.append(_run(method, path))
        aims = {"mne fft": "≥ 4", "mne polyphase": "> 1"} if number == 0 else {}
        name = f"{word}, {path.stat().st_size / 1e6:.0f} MB"
        rows.append(Row("reading", f"{name}: ours", _median(found[OURS], "seconds"), "s", note=_where(found[OURS])))
        rows.append(Row("reading", f"{name}: peak memory", max(r["peak_mb"] for r in found[OURS]), "MB",
                        "< 1200" if number == 0 else ""))  # fmt: skip
        for method in MNE:
            pairs = zip(found[method], found[OURS], strict=True)
            ratio = statistics.median(other["seconds"] / ours["seconds"] for other, ours in pairs)
            note = f"{_median(found[method], 'seconds'):.2f} s, {max(r['peak_mb'] for r in found[method]):.0f} MB"
            rows.append(Row("reading", f"{name}: times faster than {method}", ratio, "x", aims.get(method, ""), note))
    return rows


def stop_band_row() -> Row:
    """The least attenuation of sines from 32 to 128 Hz through 256 -> 64 Hz, on the grid and between its samples."""
    import numpy as np

    from encoders.recordings.resample import resample

    seconds = np.arange(256 * 20) / 256
    peaks = [
        np.abs(resample(np.sin(2 * np.pi * hz * seconds + phase).astype(np.float32), 256.0, offset_s, 640)).max()
        for hz in np.arange(32.0, 128.0, 0.1)
        for phase, offset_s in ((0.0, 5.0), (1.0, 5.0013))
    ]
    return Row("reading", "stop band, 32 to 128 Hz, least attenuation", float(-20 * np.log10(max(peaks))), "dB", "≥ 60")


def _run(method: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, method, str(path)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{method}: {done.stderr.strip().splitlines()[-1]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _median(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def _where(runs: list[dict[str, Any]]) -> str:
    return ", ".join(f"{stage} {statistics.median(r['stages'][stage] for r in runs):.2f}" for stage in runs[0]["stages"])


def measure(method: str, path: Path) -> dict[str, Any]:
    """One reading in this process, on one core; imports are not timed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    seconds, stages = _measure_ours(path) if method == OURS else _measure_mne(method, path)
    return {"seconds": seconds, "stages": stages, "peak_mb": peak_mb()}


def _measure_ours(path: Path) -> tuple[float, dict[str, float]]:
    from encoders.recordings import epochs
    from encoders.recordings.recording import Recording, open_recording

    stages = Stages()
    for owner, name, stage in (
        (Recording, "runs", "read"), (epochs, "resample", "resample"), (epochs, "hold", "hold"),
        (epochs, "measure_blocks", "quality"), (epochs, "judge", "quality"), (epochs, "_describe", "statistics"),
        (epochs, "_copy", "write out"),
    ):  # fmt: skip
        stages.wrap(owner, name, stage)
    began = time.perf_counter()
    with stages("header"):
        recording = open_recording([path])
    found = epochs.build_epochs(recording, epochs.epoch_grid(recording.duration_s))
    seconds = time.perf_counter() - began
    assert found.signals is not None and found.signals.shape[1:] == (12, 1920) and found.present.any(axis=0).all()
    spent = {stage: round(wall, 4) for stage, (wall, _) in stages.spent.items()}
    return seconds, {**spent, "rest": seconds - sum(spent.values())}


def _measure_mne(method: str, path: Path) -> tuple[float, dict[str, float]]:
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


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
