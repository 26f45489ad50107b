"""Every figure that the project promises, measured in one run and printed as one table, with the aims beside.

python scripts/benchmark.py [PART ...] [--hours 8] [--rounds 3] [--nights 11] [--work DIR] [--json]

reading   an 8-hour night of 12 channels into epochs at 64 Hz, against MNE (the `bench` group) in the same run
ingest    that night from header to published snapshot; two workers against one; simulated nights of all sites
search    questions to an open cohort of `--nights` simulated nights, and whole processes: `search`, `--help`
scale     questions of every kind to a cohort of `--scale-nights` generated nights (rows and vectors of simulated ones,
          with noise); 10,000 of them take half an hour to make and 12 GB of disk, so it runs only when it is named
sleeplm   the published size with random weights: epochs and caption tokens a second, memory, an ingest; 20 minutes

Each measurement is a process of its own (scripts/bench_measures.py), alternating, medians of `--rounds`. `--work`
keeps the simulated nights, so that the next run need not make them. Exit code 1 when an aim is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("reading", "ingest", "search", "sleeplm", "scale")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
MNE = ("mne fft", "mne polyphase")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `aim` is a comparison such as "<= 10", empty where the figure is only reported."""

    part: str
    measure: str
    figure: float
    unit: str
    aim: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        if not self.aim:
            return None
        sign, limit = self.aim.split()
        return {"<=": self.figure <= float(limit), ">=": self.figure >= float(limit)}[sign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all but scale when none is named"
    )
    parser.add_argument("--hours", type=float, default=8.0, help="length of a night")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of which the median is taken")
    parser.add_argument("--nights", type=int, default=11, help="simulated nights of the cohort that is searched")
    parser.add_argument("--scale-nights", type=int, default=10_000, help="generated nights of the part `scale`")
    parser.add_argument("--seed-cohort", type=Path, help="whose nights `scale` repeats; else 11 are simulated")
    parser.add_argument("--work", type=Path, help="where nights and cohorts are made and kept")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no part {unknown.pop()!r}; parts are {', '.join(PARTS)}")
    parts = args.parts or PARTS[:-1]
    with tempfile.TemporaryDirectory(prefix="sleepsearch-benchmark-") as scratch:
        work = args.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        rows = [_load("start")]
        if "reading" in parts or "ingest" in parts:
            nights = _nights(work, args.hours)
        if "reading" in parts:
            rows += reading(nights, args.rounds)
        if "ingest" in parts:
            rows += ingest(nights["all at 256 Hz"], Path(scratch), args.rounds)
        if "search" in parts:
            rows += search(work, Path(scratch), args.hours, args.nights, args.rounds)
        if "sleeplm" in parts:
            rows += sleeplm(work, args.rounds)
        if "scale" in parts:
            rows += scale(work, args.seed_cohort, args.scale_nights, args.hours, args.rounds)
        rows.append(_load("end"))
    if args.json:
        print(json.dumps([asdict(row) | {"met": row.met} for row in rows], ensure_ascii=False, indent=1))
    else:
        print(table(rows))
    sys.exit(any(row.met is False for row in rows))


def measured(*words: str, threads: dict[str, str] | None = None, script: str = "bench_measures.py") -> dict[str, Any]:
    """What one process of a script of measurements printed."""
    _say(" ".join(Path(word).name for word in words))
    command = [sys.executable, str(ROOT / "scripts" / script), *words]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"} | (threads or {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()[-1000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _load(when: str) -> Row:
    """Processes that wanted a core in the last minute, by which all seconds are to be read."""
    return Row("machine", f"load at the {when}, of {os.cpu_count()} cores", os.getloadavg()[0], "")


def _nights(work: Path, hours: float) -> dict[str, Path]:
    made = work / f"nights-{hours:g}h.json"
    if not made.exists():
        found = measured("nights", str(work / f"nights-{hours:g}h"), f"{hours:g}")
        made.write_text(json.dumps(found))
    return {word: Path(path) for word, path in json.loads(made.read_text()).items()}


def reading(nights: dict[str, Path], rounds: int) -> list[Row]:
    """All methods in turn on each night; the aims hold for the first."""
    rows = []
    for word, path in nights.items():
        path.read_bytes()  # into the page cache
        runs: dict[str, list[dict[str, Any]]] = {method: [] for method in ("ours", *MNE)}
        for _ in range(rounds):
            for method, found in runs.items():
                found.append(measured("reading", method, str(path), threads=ONE_THREAD))
        ours = runs["ours"]
        first = word == next(iter(nights))
        night = f"{word} ({path.stat().st_size / 1e6:.0f} MB)"
        stages = {stage: _middle(ours, "stages", stage) for stage in ours[0]["stages"]}
        rows.append(Row("reading", night, _middle(ours, "seconds"), "s", note=_listed(stages)))
        peak = max(run["peak_mb"] for run in ours)
        rows.append(Row("reading", f"{word}: peak memory", peak, "MB", "<= 1200" if first else ""))
        for method, least in zip(MNE, (4, 1), strict=True):
            ratio = statistics.median(m["seconds"] / o["seconds"] for m, o in zip(runs[method], ours, strict=True))
            theirs = f"{_middle(runs[method], 'seconds'):.2f} s, {max(r['peak_mb'] for r in runs[method]):.0f} MB"
            aim = f">= {least}" if first else ""
            rows.append(Row("reading", f"{word}: as fast as {method}", ratio, "times", aim, theirs))
    return [*rows, Row("reading", "stop band, 32 to 128 Hz", measured("stopband")["db"], "dB", ">= 60")]


def ingest(night: Path, scratch: Path, rounds: int) -> list[Row]:
    """One night with two workers, then four like it with one worker and with two."""
    runs, theirs = [], []
    for n in range(rounds):
        runs.append(measured("ingest", str(night.parent), str(scratch / f"one-{n}"), "2"))
        theirs.append(measured("reading", MNE[0], str(night), threads=ONE_THREAD)["seconds"])
    ratio = statistics.median(run["seconds"] / other for run, other in zip(runs, theirs, strict=True))
    spent = {stage: _middle(runs, "parent", stage) for stage in runs[0]["parent"]}
    spent |= {f"worker {stage}": _middle(runs, "workers", stage) for stage in runs[0]["workers"]}
    rows = [
        Row("ingest", "one night all at 256 Hz, two cores", _middle(runs, "seconds"), "s", "<= 10",
            f"CPU s: {_listed(spent)}"),
        # The aim of 10 s was set where MNE's reading takes 3.0 s; a busy or slower machine is told by this ratio.
        Row("ingest", "its time over mne fft's reading of it", ratio, "times", "<= 3.33",
            f"{statistics.median(theirs):.1f} s in this run, 3.0 s where the aim was set"),
        Row("ingest", "its CPU time, all processes", _middle(runs, "cpu_s"), "s"),
        Row("ingest", "its distinct captions", _middle(runs, "captions"), "", note=f"of {runs[0]['epochs']} epochs"),
        Row("ingest", "its distinct sentences", _middle(runs, "sentences"), ""),
    ]  # fmt: skip
    four = scratch / "four"
    four.mkdir()
    for n in range(4):
        for path in night.parent.glob(f"{night.stem}[.-]*"):
            if path.suffix in (".edf", ".xml"):
                (four / path.name.replace(night.stem, f"night-{n}")).symlink_to(path)
    pairs = [
        [measured("ingest", str(four), str(scratch / f"four-{n}-{workers}"), str(workers)) for workers in (1, 2)]
        for n in range(rounds)
    ]
    ratio = statistics.median(one["seconds"] / two["seconds"] for one, two in pairs)
    figures = [_middle([pair[i] for pair in pairs], key) for key in ("seconds", "cpu_s") for i in (0, 1)]
    note = "{:.1f} s against {:.1f} s; CPU {:.1f} s and {:.1f} s".format(*figures)
    return [*rows, Row("ingest", "four such nights: two workers as fast as one", ratio, "times", note=note)]


def search(work: Path, scratch: Path, hours: float, nights: int, rounds: int) -> list[Row]:
    """Simulated nights of all sites: their ingest, questions once open, and whole processes."""
    folder, cohort = work / f"simulated-{nights}-{hours:g}h", scratch / "cohort"
    if not (folder / "subjects.csv").exists():
        _run("simulate", str(folder), "--nights", str(nights), "--seed", "1", "--hours", f"{hours:g}")
    took = measured("ingest", str(folder), str(cohort), "2")
    each = took["seconds"] / took["recordings"]
    rows = [
        Row("ingest", f"{nights} simulated nights, two workers: a night", each, "s",
            note=f"{took['cpu_s'] / took['recordings']:.1f} s CPU a night, parent's peak {took['peak_mb']:.0f} MB"),
        Row("ingest", "distinct captions a simulated night", took["captions"], "", note="median"),
        Row("ingest", "distinct sentences a simulated night", took["sentences"], "", note="median"),
    ]  # fmt: skip
    asked = measured("search", str(cohort), str(rounds))
    for kind, aim in (("search", "<= 50"), ("search --where", "<= 50"), ("similar", "")):
        found = asked[kind]
        note = f"slowest {found['slowest_ms']:.0f} ms, CPU {found['cpu_ms']:.0f} ms; {_listed(found['stages'])}"
        rows.append(Row("search", f"{kind}, {asked['epochs']:,} epochs, once open", found["ms"], "ms", aim, note))
    question = ("search", "deep slow-wave sleep", "--cohort", str(cohort), "--json")
    cold = [_run(*question) for _ in range(max(rounds, 3))]
    rows.append(Row("search", "cold `search`, whole process", _middle(cold, "seconds"), "s", "<= 4"))
    rows.append(Row("search", "cold `search`, CPU", _middle(cold, "cpu_s"), "s"))
    rows.append(Row("search", "cold `search`, peak memory", _middle(cold, "peak_mb"), "MB"))
    helped = [_run("--help") for _ in range(max(rounds, 3))]
    return [*rows, Row("search", "`--help`, CPU", _middle(helped, "cpu_s"), "s", "<= 0.5")]


def scale(work: Path, seed: Path | None, nights: int, hours: float, rounds: int) -> list[Row]:
    """A generated cohort, which stays in `work` for the next run: every kind of question, as the page asks it."""
    cohort = work / f"generated-{nights}"
    if seed is None and not cohort.exists():
        folder, seed = work / f"simulated-11-{hours:g}h", work / f"seed-{hours:g}h"
        if not (folder / "subjects.csv").exists():
            _run("simulate", str(folder), "--nights", "11", "--seed", "1", "--hours", f"{hours:g}")
        if not seed.exists():
            measured("ingest", str(folder), str(seed), "2")
    if not (cohort / "CURRENT").exists():
        measured("make", str(seed), str(cohort), str(nights), script="bench_scale.py")
    found = measured("ask", str(cohort), str(rounds), script="bench_scale.py")
    asks, what = found["asks"], f"{found['epochs']:,} generated epochs"
    slow = max(asks, key=lambda one: one["ms"])
    rows = [
        Row("scale", f"{what}: on disk", found["bytes"] / 1e9, "GB", note=f"{found['recordings']:,} nights"),
        Row("scale", f"{what}: open", found["open"], "ms", note=f"encoders {found['encoders']:.0f} ms"),
        Row("scale", f"{what}: the page's header", found["header"], "ms"),
        Row("scale", f"{what}: a question at once", found["at once"], "ms", note="before anything was read ahead"),
        Row("scale", f"{what}: what `serve` reads ahead", found["ahead"] / 1e3, "s"),
        Row("scale", f"{what}: {len(asks)} questions, asked for the first time, median",
            statistics.median(one["first"] for one in asks), "ms", "<= 1000",
            f"CPU {statistics.median(one['first_cpu'] for one in asks):.0f} ms"),
        Row("scale", f"{what}: {len(asks)} questions, median", statistics.median(one["ms"] for one in asks), "ms",
            "<= 1000", f"CPU {statistics.median(one['cpu_ms'] for one in asks):.0f} ms"),
        Row("scale", f"{what}: the slowest", slow["ms"], "ms", "<= 1000", slow["said"]),
        Row("scale", f"{what}: memory of its own", found["own_mb"], "MB", note=f"with files {found['peak_mb']:.0f} MB"),
    ]  # fmt: skip
    for kind in dict.fromkeys(one["kind"] for one in asks):
        own = [one for one in asks if one["kind"] == kind]
        note = "; ".join(f"{one['said']}: {one['ms']:.0f}, first {one['first']:.0f}" for one in own)
        rows.append(Row("scale", f"{what}: {kind}", statistics.median(one["ms"] for one in own), "ms", note=note))
    return rows


def sleeplm(work: Path, rounds: int) -> list[Row]:
    """SleepLM's towers and decoder at their published size."""
    path = str(work / "sleeplm-random.safetensors")
    measured("weights", path, script="bench_sleeplm.py")
    two = {"OMP_NUM_THREADS": "2"}
    found = measured("embed", path, "24", str(rounds), threads=two, script="bench_sleeplm.py")
    rate, demo = found["per_s"], found["per_s"]["demo"]
    memory = {d: measured("memory", path, d, threads=two, script="bench_sleeplm.py") for d in ("auto", "float32")}
    rows = [
        Row("sleeplm", "signal tower alone against the demo's pass, float32", rate["float32"] / demo, "times", ">= 2.5",
            f"{rate['float32']:.2f} epochs/s, demo {demo:.2f}; largest difference {found['same']:.1e}"),
        Row("sleeplm", "the same in bfloat16", rate["bfloat16"] / demo, "times", ">= 4",
            f"{rate['bfloat16']:.2f} epochs/s"),
        Row("sleeplm", "bfloat16 against float32, median cosine", found["cosine_median"], "", ">= 0.999"),
        Row("sleeplm", "bfloat16 against float32, lowest cosine", found["cosine_min"], "", ">= 0.998",
            f"top-10 overlap {found['top10_overlap']:.3f}"),
        *(Row("sleeplm", f"question and two epochs, peak memory, {kind}", of["peak_mb"] / 1000, "GB", "<= 1.6",
              f"{of['runs_on']}, {of['seconds']:.1f} s") for kind, of in memory.items()),
    ]  # fmt: skip
    for batch, aim in (("16", ">= 10"), ("1", "")):
        wrote = measured("captions", path, batch, threads=two, script="bench_sleeplm.py")
        note = (
            f"{wrote['cached_per_s']:.1f} and {wrote['whole_per_s']:.2f} tokens/s, same tokens: {wrote['same_tokens']}"
        )
        ratio = wrote["cached_per_s"] / wrote["whole_per_s"]
        rows.append(Row("sleeplm", f"captions, batch {batch}, cached against whole", ratio, "times", aim, note))
    took = measured(str(work), threads=two, script="bench_timeline.py")
    note = (
        f"{took['whole_s']:.0f} s in all, {took['before_s']:.0f} before the first epoch is embedded, "
        f"{took['waiting_s']:.1f} at rest from then on; {_listed(took['seconds'])}"
    )
    hidden = "four nights of 15 minutes, one read while another is embedded: reading of 2 to 4 that is hidden"
    rows.append(Row("sleeplm", hidden, took["hidden"], "", ">= 0.9", note))
    return rows


def _run(*words: str) -> dict[str, float]:
    """Wall, CPU and peak memory of one call of the command line."""
    _say(f"sleepsearch {' '.join(Path(word).name for word in words)}")
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "ui.main", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"sleepsearch {' '.join(words)}: exit code {process.returncode}")
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def _middle(runs: list[dict[str, Any]], *keys: str) -> float:
    def at(run: Any) -> float:
        for key in keys:
            run = run.get(key, 0.0)
        return float(run)

    return statistics.median(at(run) for run in runs)


def _listed(stages: dict[str, float]) -> str:
    return ", ".join(f"{stage} {figure:.2g}" for stage, figure in stages.items())


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| part | measure | figure | aim | | where it goes |", "|---|---|---|---|---|---|"]
    for row in rows:
        figure = (
            f"{row.figure:,.0f}" if abs(row.figure) >= 100 or row.figure == int(row.figure) else f"{row.figure:.3g}"
        )
        met = {None: "", True: "met", False: "MISSED"}[row.met]
        aim = row.aim.replace("<=", "≤").replace(">=", "≥")
        lines.append(f"| {row.part} | {row.measure} | {figure} {row.unit} | {aim} | {met} | {row.note} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
