"""What each process did when, in an ingest with SleepLM: python scripts/bench_timeline.py FOLDER [--out timeline.html]

Short simulated nights and random weights of the published size. A night is read in a process of its own while the one
before it is embedded; printed is the share of the reading behind the parent's own work, and how long that stood still.
Nothing here imports torch at the top: reading processes import this file.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

NOTES = "SLEEPSEARCH_TIMELINE_NOTES"  # the folder where reading processes leave their spans
COLOURS = {"start": "#c9c9c9", "read": "#4c78a8", "load": "#b8a1d9", "captions": "#f2a541", "embed": "#d1495b",
           "store": "#6a994e", "publish": "#33415c"}  # fmt: skip
SITE = "clinic"


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that one process did, seconds since the ingest began; `night` is empty for what belongs to none."""

    process: str
    what: str
    night: str
    start_s: float
    stop_s: float


class Spans:
    """What this process does, as it happens; what is reached from within another span counts for that one."""

    def __init__(self, process: str) -> None:
        self.process, self.night, self.found, self._inside = process, "", list[Span](), False

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        if self._inside:
            yield
            return
        self._inside, began = True, time.time()
        try:
            yield
        finally:
            self._inside = False
            self.found.append(Span(self.process, what, self.night, began, time.time()))

    def wrap(self, owner: Any, name: str, what: str) -> None:
        """Note every call of this function of `owner`."""
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self(what):
                return function(*args, **kwargs)

        setattr(owner, name, call)


def read_night(job: Any) -> Any:
    """`retrieval.night.read_night` with its time noted; runs in a reading process, which finds it by this name."""
    from retrieval import night

    began = time.time()
    result = night.read_night(job)
    note = Span(f"reader {os.getpid()}", "read", job.source.id, began, time.time())
    (Path(os.environ[NOTES]) / f"{job.source.id}.json").write_text(json.dumps(asdict(note)))
    return result


def ingest(nights: Path, root: Path, encoder: str, workers: int) -> list[Span]:
    """The spans of an ingest of `nights`, in the order of their start; the first begins at 0."""
    import retrieval
    from encoders import workers as pool
    from encoders.models.sleeplm import SleepLM
    from index import Writer
    from retrieval import ingest as door  # the function; its module is reached by name below

    module: Any = sys.modules[door.__module__]
    notes = root.parent / f"{root.name}-notes"
    notes.mkdir()
    os.environ[NOTES] = str(notes)
    parent = Spans("parent")
    take, embed = module._take, SleepLM.embed_epochs

    def embedded(self: SleepLM, epochs: Any) -> Any:
        with parent("embed" if len(epochs) else "load"):
            return embed(self, epochs)

    def taken(*args: Any) -> None:
        parent.night = next(a.recording for a in args if hasattr(a, "fingerprint"))
        take(*args)
        parent.night = ""

    module._take, module.read_night, SleepLM.embed_epochs = taken, read_night, embedded  # type: ignore[method-assign]
    for owner, name, what in (
        (pool._Worker, "__init__", "start"), (module, "load_encoder", "load"), (module, "_embed_captions", "captions"),
        (Writer, "put", "store"), (Writer, "add_vectors", "store"), (Writer, "publish", "publish"),
    ):  # fmt: skip
        parent.wrap(owner, name, what)
    began = time.time()
    report = retrieval.ingest([nights], root, encoder=encoder, workers=workers)
    assert not report.failed, report.failed
    read = [Span(**json.loads(note.read_text())) for note in notes.iterdir()]
    spans = [replace(s, start_s=s.start_s - began, stop_s=s.stop_s - began) for s in (*parent.found, *read)]
    return sorted(spans, key=lambda s: s.start_s)


def figures(spans: list[Span]) -> dict[str, Any]:
    """Seconds in all and of each kind, and what became of the reading.

    `before_s`: until the first epoch is embedded, which nothing can hide. `hidden`: the share of the other nights'
    reading during which the parent worked, `behind_model` the share during which it embedded. `waiting_s`: from the
    first embedding on, the parent at rest.
    """
    whole = max(s.stop_s for s in spans)
    read = [s for s in spans if s.what == "read"]
    embed = [s for s in spans if s.what == "embed"]
    parent = [s for s in spans if s.process == "parent"]
    first = min(s.start_s for s in embed)
    later = [s for s in read if s is not min(read, key=lambda s: s.start_s)]
    busy = sum(s.stop_s - max(s.start_s, first) for s in parent if s.stop_s > first)
    return {
        "whole_s": whole, "before_s": first, "waiting_s": whole - first - busy,
        "seconds": {what: sum(s.stop_s - s.start_s for s in spans if s.what == what) for what in COLOURS},
        "hidden": hidden(later, parent), "behind_model": hidden(later, embed),
    }  # fmt: skip


def hidden(read: Sequence[Span], work: Sequence[Span]) -> float:
    """Share of the seconds of reading that lie within spans of work; 1 where nothing was read."""
    of = sum(s.stop_s - s.start_s for s in read)
    beside = sum(max(0.0, min(r.stop_s, w.stop_s) - max(r.start_s, w.start_s)) for r in read for w in work)
    return beside / of if of else 1.0


def draw(spans: list[Span], title: str, out: Path) -> None:
    """The timeline as a page: one row a process, one bar a span."""
    import plotly.graph_objects as go

    figure = go.Figure(
        layout={"title": title, "barmode": "overlay", "xaxis_title": "seconds", "template": "simple_white"}
    )
    for what, colour in COLOURS.items():
        of = [s for s in spans if s.what == what]
        figure.add_bar(
            y=[s.process for s in of], x=[s.stop_s - s.start_s for s in of], base=[s.start_s for s in of], name=what,
            orientation="h", marker_color=colour, text=[s.night for s in of], textposition="inside", textangle=0,
            hovertemplate="%{text} " + what + "<br>%{base:.2f} s, %{x:.2f} s<extra></extra>",
        )  # fmt: skip
    figure.write_html(out, include_plotlyjs=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where nights are made and kept, and a cohort is made")
    parser.add_argument("--encoder", default="sleeplm:random")
    parser.add_argument("--nights", type=int, default=4)
    parser.add_argument("--hours", type=float, default=0.25, help="length of a night")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, help="an HTML file for the drawing")
    args = parser.parse_args()
    import tempfile

    from encoders.simulation import simulate

    nights = args.folder / f"nights-{args.nights}-{args.hours:g}h"
    if not nights.is_dir():
        simulate(nights, nights=args.nights, seed=5, sites=[SITE], hours=args.hours)
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        spans = ingest(nights, Path(scratch) / "cohort", args.encoder, args.workers)
    found = figures(spans)
    if args.out:
        shown = f"{found['hidden']:.0%} of the reading after the first night hidden, {found['waiting_s']:.1f} s waited"
        draw(spans, f"Ingest of {args.nights} nights of {args.hours * 60:g} min: {shown}", args.out)
    print(json.dumps(found | {"spans": [asdict(s) for s in spans]}))


if __name__ == "__main__":
    main()
