"""Time the reading of an 8-hour, 12-channel night into 30-second epochs at 64 Hz, against MNE in the same run.

python scripts/bench_reading.py [--hours 8] [--rounds 3] [--json]        needs the `bench` group (mne)

Ours goes from the file's header to (n, 12, 1920) float32 with mask, quality and statistics; MNE loads and resamples to
64 Hz (FFT, its default, and polyphase). Every measurement is a process of its own, pinned to one core, one thread, the
file in the page cache; rounds alternate. Two nights: all channels at 256 Hz, and the mixed rates of a usual recorder.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
METHODS = ("ours", "mne fft", "mne polyphase")
MIXED_HZ = {"ECG": 256, "ABD": 32, "THX": 32, "AF": 32, "EOG_L": 256, "EOG_R": 256, "EEG_C3": 256, "EEG_C4": 256,
            "EMG_CHIN": 256, "POS": 1, "SPO2": 1, "HR": 1}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure[0], Path(args.measure[1]))))
        return
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        report: dict[str, Any] = {"hours": args.hours, "rounds": args.rounds, "nights": {}}
        for night in ("256 Hz", "mixed rates"):
            path = Path(folder) / f"{night.replace(' ', '-')}.edf"
            write_night(path, args.hours, mixed=night == "mixed rates")
            report["nights"][night] = compare(path, args.rounds)
    report["stop_band_db"] = stop_band_db()
    print(json.dumps(report) if args.json else table(report))


def write_night(path: Path, hours: float, *, mixed: bool) -> None:
    """Write noise of plausible amplitudes, the same at any run."""
    import numpy as np

    from encoders.recordings.write import EdfSignal, write_edf
    from encoders.vocabulary import CHANNELS

    rng = np.random.default_rng(0)
    levels = {"POS": (2, 0, "", 0, 10), "SPO2": (96, 1, "%", 0, 128), "HR": (60, 3, "1/min", 0, 256)}
    signals = []
    for channel in CHANNELS:
        rate_hz = MIXED_HZ[channel] if mixed else 256
        unit = "mV" if channel == "ECG" else "uV" if channel[:3] in ("EEG", "EOG", "EMG") else ""
        sd = 0.2 if channel == "ECG" else 25
        mean, sd, unit, low, high = levels.get(channel, (0, sd, unit, -20 * sd, 20 * sd))
        count = int(hours * 3600) * rate_hz
        samples = rng.normal(mean, sd, count) * np.linspace(0.5, 1.5, count) if low < 0 else rng.normal(mean, sd, count)
        signals.append(EdfSignal(channel, np.clip(samples, low, high), rate_hz, unit, low, high))
    write_edf(path, signals, start=None, kind="EDF")


def compare(path: Path, rounds: int) -> dict[str, Any]:
    """Measure all methods in turn, `rounds` times; medians, ratios to ours and where our time goes."""
    path.read_bytes()  # into the page cache
    found: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for _ in range(rounds):
        for method in METHODS:
            command = [sys.executable, __file__, "--measure", method, str(path)]
            done = subprocess.run(command, env=os.environ | THREADS, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{method}: {done.stderr.strip().splitlines()[-1]}")
            found[method].append(json.loads(done.stdout))
    result: dict[str, Any] = {"file_mb": path.stat().st_size / 1e6}
    for method, runs in found.items():
        result[method] = {
            "seconds": statistics.median(run["seconds"] for run in runs),
            "peak_mb": max(run["peak_mb"] for run in runs),
            "stages": {stage: statistics.median(run["stages"][stage] for run in runs) for stage in runs[0]["stages"]},
        }
    for method in METHODS[1:]:
        result[method]["ratio"] = statistics.median(
            other["seconds"] / ours["seconds"] for other, ours in zip(found[method], found["ours"], strict=True)
        )
    return result


def measure(method: str, path: Path) -> dict[str, Any]:
    """One reading in this process; imports are not timed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    seconds, stages = (measure_ours if method == "ours" else measure_mne)(method, path)
    return {"seconds": seconds, "stages": stages, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Peak resident memory of this process; Linux's ru_maxrss would be that of the parent where that had more."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_ours(_: str, path: Path) -> tuple[float, dict[str, float]]:
    sys.path.insert(0, str(ROOT))
    from encoders.recordings import epochs
    from encoders.recordings.recording import Recording, open_recording

    stages = dict.fromkeys(("header", "read", "resample", "hold", "quality", "statistics", "write out", "rest"), 0.0)

    def timed(owner: object, name: str, stage: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                stages[stage] += time.perf_counter() - began

        setattr(owner, name, call)

    for owner, name, stage in (
        (Recording, "runs", "read"), (epochs, "resample", "resample"), (epochs, "hold", "hold"),
        (epochs, "measure_blocks", "quality"), (epochs, "judge", "quality"), (epochs, "_describe", "statistics"),
        (epochs, "_copy", "write out"),
    ):  # fmt: skip
        timed(owner, name, stage)
    began = time.perf_counter()
    recording = open_recording([path])
    stages["header"] = time.perf_counter() - began
    found = epochs.build_epochs(recording, epochs.epoch_grid(recording.duration_s))
    seconds = time.perf_counter() - began
    stages["rest"] = seconds - sum(stages.values())
    assert found.present.all() and found.signals is not None and found.signals.shape[1:] == (12, 1920)
    return seconds, stages


def measure_mne(method: str, path: Path) -> tuple[float, dict[str, float]]:
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


def stop_band_db() -> float:
    """The least attenuation of sines from 32 to 128 Hz through 256 -> 64 Hz, on the grid and between its samples."""
    import numpy as np

    from encoders.recordings.resample import resample

    seconds = np.arange(256 * 20) / 256
    peaks = [
        np.abs(resample(np.sin(2 * np.pi * hz * seconds + phase).astype(np.float32), 256.0, offset_s, 640)).max()
        for hz in np.arange(32.0, 128.0, 0.1)
        for phase, offset_s in ((0.0, 5.0), (1.0, 5.0013))
    ]
    return float(-20 * np.log10(max(peaks)))


def table(report: dict[str, Any]) -> str:
    lines = []
    for night, result in report["nights"].items():
        lines.append(f"\n{report['hours']:g} h, 12 channels, {night}, {result['file_mb']:.0f} MB, one core, "
                     f"median of {report['rounds']}")  # fmt: skip
        lines.append(f"{'':15s}{'seconds':>9s}{'ours is':>14s}{'peak MB':>9s}   stages in seconds")
        for method in METHODS:
            row = result[method]
            faster = f"{row['ratio']:.1f} x faster" if "ratio" in row else ""
            stages = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in row["stages"].items())
            lines.append(f"{method:15s}{row['seconds']:9.2f}{faster:>14s}{row['peak_mb']:9.0f}   {stages}")
    lines.append(f"\nstop-band 32 to 128 Hz: {report['stop_band_db']:.1f} dB or more")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
