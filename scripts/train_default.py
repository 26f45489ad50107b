"""Train the default encoder.   torchrun --nproc-per-node 4 scripts/train_default.py --preset gpu --out runs/small
CPU only, one hour:             python scripts/train_default.py --preset cpu --out runs/small-cpu
With real nights as well:       ... --real FOLDER (re-packed UCDDB; subjects 002 to 008 are trained on, no other)
Weights that are there, trained on with other people: ... --start sleepsearch-small --seed 60001

Simulates nights (they and their cache take most of the time and 45 MB a night under --work), trains, and says where the
weights are. The same call goes on where a killed one ended. Seeds and sites are fixed unless given: SEEDS, SITES,
UNSEEN_SITES.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from encoders.errors import BadInput
from encoders.models.small.inputs import VERSION
from encoders.simulation import simulate
from encoders.training.cache import CACHE_VERSION, build_cache, renew_facts
from encoders.training.config import SCRATCH, TrainConfig, preset
from encoders.training.facts import FACTS_VERSION
from encoders.training.real import TRAIN, cache_ucddb

SEEDS = {"train": 50001, "choose": 50002, "test": 50003}  # subjects of different seeds are different people
SITES = (
    "shhs-like", "clinic", "mros-like", "mesa-like", "sleep-edf-like", "ucddb-like", "stages-like", "wsc-like",
    "physionet2018-like",
)  # fmt: skip
UNSEEN_SITES = ("hmc-like", "ccshs-like", "isruc-like")  # for tests alone
NIGHTS = {"cpu": 180, "gpu": 540}
CHOOSE_NIGHTS = 18
HOURS = 8.0
STARTED_LR = 0.0006  # of weights that are trained on: at the presets' rate they first forget
CHUNK = len(SITES)  # nights that lie on the disk as EDF at one time, for each worker
SEED_STEP = 10  # between chunks: 50001, 50011, ... never meets another use's seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(NIGHTS), required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--work", type=Path, help="folder of the cached nights; default: OUT-nights")
    parser.add_argument("--real", type=Path, help="folder of the re-packed UCDDB nights")
    parser.add_argument("--minutes", type=float, help="of training; default: the preset's")
    parser.add_argument("--start", default=SCRATCH, help="weights to begin with, as in [model] start; default: none")
    parser.add_argument("--seed", type=int, default=SEEDS["train"], help="of the nights to train on, and of the run")
    parser.add_argument("--nights", type=int, help="to train on; default: the preset's")
    parser.add_argument("--hours", type=float, default=HOURS, help="length of a night")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that simulate")
    args = parser.parse_args()
    work = args.work or args.out.with_name(f"{args.out.name}-nights")
    try:
        chosen = configured(preset(args.preset), args, work)
        cache_all(work, args.seed, args.nights or NIGHTS[args.preset], args.hours, args.real, args.workers)
        folder = run(chosen, args.out)
    except BadInput as wrong:
        sys.exit(f"train_default: {wrong}")
    except KeyboardInterrupt:
        sys.exit("stopped; what was finished is kept, the same call goes on from there")
    say(f"weights: {folder} (as an encoder: trained:{folder})")


def configured(config: TrainConfig, args: argparse.Namespace, work: Path) -> TrainConfig:
    """The recipe with its data: subjects of another seed are looked at, none of the training seed is kept apart."""
    cache = [str((work / "train").resolve())] + ([str((work / "real").resolve())] if args.real else [])
    data = {"cache": cache, "validation": [str((work / "choose").resolve())], "validation_share": 0.0}
    changed: dict[str, Any] = {"data": data, "model": {"start": args.start}, "run": {"seed": args.seed}}
    if args.start != SCRATCH:
        changed["model"]["sizes"] = {}  # come with the weights
        changed["optimiser"] = {"lr": STARTED_LR}
    if args.minutes:
        changed["schedule"] = {"minutes": args.minutes, "epochs_seen": 0}
    return config.but(changed)


def run(config: TrainConfig, out: Path) -> Path:
    """Train with the losses printed on standard error; the folder."""
    from encoders.training.loop import train

    def progress(losses: str, done: int, of: int) -> None:
        if os.environ.get("RANK", "0") == "0":
            say(f"{done / of:6.1%}  {losses}")

    trained = train(config, out, progress=progress)
    say(json.dumps(trained.figures, indent=1))
    return trained.folder


def cache_all(work: Path, seed: int, nights: int, hours: float, real: Path | None, workers: int) -> None:
    """The nights to train on, those to look at and the real ones, cached; once, by the first process of torchrun."""
    said = json.dumps(
        [SEEDS, seed, SITES, nights, CHOOSE_NIGHTS, hours, str(real), CACHE_VERSION, VERSION, FACTS_VERSION]
    )
    ready = work / f"ready-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    while os.environ.get("RANK", "0") != "0" and not ready.exists():
        time.sleep(2)
    if ready.exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    simulate_cached(work / "train", seed, nights, hours, workers)
    simulate_cached(work / "choose", SEEDS["choose"], CHOOSE_NIGHTS, hours, workers)
    if real:
        cache_ucddb(real, work / "real", TRAIN)
    ready.touch()


def simulate_cached(
    out: Path, seed: int, nights: int, hours: float, workers: int, sites: tuple[str, ...] = SITES
) -> None:
    """`nights` nights in chunks, each simulated, cached and its EDF files deleted; finished chunks are skipped,
    and their facts renewed where another version counted them.
    """
    out.mkdir(parents=True, exist_ok=True)
    jobs = [
        (out, seed + SEED_STEP * number, min(CHUNK, nights - first), hours, sites)
        for number, first in enumerate(range(0, nights, CHUNK))
    ]
    left = [job for job in jobs if not _mark(*job).exists()]
    began = time.monotonic()
    if workers < 2:
        done = map(cache_chunk, left)
    else:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # the cores are shared out by process
        pool = ProcessPoolExecutor(min(workers, max(1, len(left))), get_context("spawn"))
        done = (future.result() for future in as_completed([pool.submit(cache_chunk, job) for job in left]))
    for count, epochs in enumerate(done, 1):
        say(f"{out.name}: {count} of {len(left)} chunks, {epochs} epochs in the last, {time.monotonic() - began:.0f} s")
    if stale := renew_facts(out):
        raise BadInput(f"{stale[0]['path']}: {stale[0]['error']}; delete {out} and its nights are made again")


def cache_chunk(job: tuple[Path, int, int, float, tuple[str, ...]]) -> int:
    """Simulate and cache one chunk; how many epochs. What a killed run left of it is made again."""
    out, seed, nights, hours, sites = job
    edf = out / f".edf-{seed}"
    simulate(edf, nights=nights, seed=seed, sites=sites, hours=hours)
    report = build_cache([edf], out, subjects=edf / "subjects.csv")
    if report.failed:
        raise BadInput(f"{report.failed[0]['path']}: {report.failed[0]['error']}")
    _mark(*job).touch()
    shutil.rmtree(edf)
    return report.epochs


def _mark(out: Path, seed: int, nights: int, hours: float, sites: tuple[str, ...]) -> Path:
    version = f"{CACHE_VERSION}-{VERSION}"  # what another version cached is made again; facts alone are renewed
    return out / f".done-{seed}-{nights}-{hours:g}-{len(sites)}-{version}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
