"""The timeline's own arithmetic: what is hidden, and what is waited for."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from bench_timeline import Span, Spans, draw, figures  # noqa: E402

SPANS = [
    Span("reader 1", "read", "a", 0.0, 4.0),
    Span("parent", "captions", "a", 4.0, 5.0),
    Span("parent", "embed", "a", 5.0, 9.0),
    Span("reader 1", "read", "b", 4.0, 6.0),  # all of it beside the parent's work, half of it beside the model
    Span("parent", "embed", "b", 9.0, 12.0),
    Span("reader 1", "read", "c", 9.0, 14.0),  # two of five seconds with nobody else at work
    Span("parent", "embed", "c", 14.0, 15.0),
]


def test_reading_is_hidden_where_the_parent_works_and_the_first_night_does_not_count():
    found = figures(SPANS)
    assert found["hidden"] == pytest.approx(5 / 7) and found["behind_model"] == pytest.approx(4 / 7)
    assert found["waiting_s"] == pytest.approx(2.0) and found["before_s"] == 5.0 and found["whole_s"] == 15.0
    assert found["seconds"]["read"] == 11.0 and found["seconds"]["embed"] == 8.0


def test_a_span_within_another_counts_for_the_outer():
    spans = Spans("parent")
    with spans("captions"), spans("store"):
        pass
    assert [span.what for span in spans.found] == ["captions"]


def test_the_drawing_holds_every_night(tmp_path: Path):
    draw(SPANS, "three nights", tmp_path / "timeline.html")
    page = (tmp_path / "timeline.html").read_text(encoding="utf-8")
    assert "three nights" in page and "reader 1" in page and '"captions"' in page


def test_reading_processes_import_no_torch_with_it():
    script = "import sys, bench_timeline; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=SCRIPTS, check=False).returncode == 0
