"""How the page holds under visitors.   python scripts/bench_page.py --cohort DIR [--users 20] [--seconds 60]

A real server in a process of its own. Visitors act every five seconds, each act by chance a question, the strip of a
hit or a window of its night; then `--views` acts follow each other without a pause while the server's memory is read.
Prints median, 95th percentile and worst time of each kind, and the memory after a tenth of the views and at the end.
"""

import argparse
import json
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from retrieval import EPOCH_S

EVERY_S = 5.0
COLUMNS = 1100  # of the viewer's drawing at 1280 wide
QUESTIONS = (
    "REM sleep with oxygen desaturation", "deep slow-wave sleep", "obstructive apnea longer than 20 s", "arousal",
    "N2 sleep without arousals", "heart rate over 80", "wake after sleep onset", "hypopnea in REM sleep",
    "SpO2 below 90", "sleep spindles", "last hour of the night", "REM then wake",
)  # fmt: skip


class Server:
    """The page's functions by name, as its JavaScript calls them."""

    def __init__(self, cohort: Path) -> None:
        command = [sys.executable, "-m", "ui.main", "serve", "--cohort", str(cohort), "--no-browser", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = ""
        assert self.process.stdout
        while "}" not in said:
            line = self.process.stdout.readline()
            if not line:
                sys.exit("bench_page: the server did not start")
            said += line
        self.client = httpx.Client(base_url=json.loads(said)["url"], timeout=60)
        config = self.client.get("config").json()
        self.prefix = config.get("api_prefix", "/gradio_api").lstrip("/")
        self.at = {
            name: part["id"] for part in config["components"] for name in part["props"].get("server_fns") or []
        }  # fmt: skip

    def ask(self, name: str, asked: dict[str, Any], visitor: str) -> Any:
        body = {"data": asked, "component_id": self.at[name], "fn_name": name, "session_hash": visitor}
        answer = self.client.post(f"{self.prefix}/component_server", json=body)
        answer.raise_for_status()
        found = answer.json()
        if isinstance(found, dict) and found.get("error"):
            sys.exit(f"bench_page: {name}({asked}): {found['error']}")
        return found

    def memory_mb(self) -> float:
        """Of the server alone, resident."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e6)


class Visitor:
    """Asks, looks at hits, opens their nights; the seconds of each act go into `took`."""

    def __init__(self, server: Server, number: int, took: dict[str, list[float]]) -> None:
        self.server, self.name, self.took = server, f"visitor-{number}", took
        self.random = random.Random(number)
        self.hits: list[dict[str, Any]] = []

    def act(self) -> None:
        hit = self.random.choice(self.hits) if self.hits else None
        kind = self.random.choice(("question", "strip", "window")) if hit else "question"
        began = time.perf_counter()
        if kind == "question" or hit is None:
            asked = {"q": self.random.choice(QUESTIONS), "k": "10", "without": []}
            self.hits = self.server.ask("search_ask", asked, self.name)["hits"] or self.hits
        elif kind == "strip":
            of = {"rec": hit["recording"], "start_s": hit["start_s"], "stop_s": hit["stop_s"]}
            self.server.ask("search_strip", of, self.name)
        else:
            of = {
                "rec": hit["recording"],
                "start": hit["start_s"],
                "stop": hit["start_s"] + EPOCH_S,
                "columns": COLUMNS,
            }
            self.server.ask("window", of, self.name)
        self.took[kind].append(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--views", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    server = Server(args.cohort)
    try:
        report = measured(server, args.users, args.seconds, args.views)
    finally:
        server.process.terminate()
    if args.json:
        print(json.dumps(report, indent=1))
        return
    for kind, figures in report["took"].items():
        print(f"{kind:<10}" + "  ".join(f"{name} {value:.3g}" for name, value in figures.items()))
    print("memory, MB: " + ", ".join(f"{name} {value:.0f}" for name, value in report["memory_mb"].items()))


def measured(server: Server, users: int, seconds: float, views: int) -> dict[str, Any]:
    """Times under visitors at their pace; memory over so many acts at once."""
    Visitor(server, -1, defaultdict(list)).act()  # the first question loads the encoders
    took: dict[str, list[float]] = defaultdict(list)
    end = time.monotonic() + seconds

    def stay(number: int) -> None:
        visitor = Visitor(server, number, took)
        time.sleep(EVERY_S * number / users)
        while time.monotonic() < end:
            began = time.monotonic()
            visitor.act()
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))

    threads = [threading.Thread(target=stay, args=(number,)) for number in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory = {"before the views": server.memory_mb()}
    visitor = Visitor(server, users, defaultdict(list))
    for number in range(views):
        visitor.act()
        if number == views // 10:
            memory["after a tenth of them"] = server.memory_mb()
    memory[f"after {views} views"] = server.memory_mb()
    every = [second for found in took.values() for second in found]
    return {
        "users": users, "took": {kind: figures(found) for kind, found in [*sorted(took.items()), ("all", every)]},
        "memory_mb": memory,
    }  # fmt: skip


def figures(found: list[float]) -> dict[str, float]:
    """Count, and median, 95th percentile and worst in seconds."""
    return {
        "n": len(found), "median_s": float(np.median(found)), "p95_s": float(np.percentile(found, 95)),
        "worst_s": max(found),
    }  # fmt: skip


if __name__ == "__main__":
    main()
