"""Strips as the page draws them: signals of seconds to minutes, small enough to stand beside a hit."""

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from retrieval import Cohort, Strip, Trace

_PARTS = 30_000  # into which a strip's seconds and a trace's range are divided: more than a screen shows


def strip_at(
    cohort: "Cohort", recording: str, start_s: float, stop_s: float, best_s: float | None = None
) -> dict[str, Any]:
    """What is drawn of a stretch; of a very long one what lies around its epoch at `best_s`."""
    from retrieval.strips import strip_of

    return strip_json(strip_of(cohort, recording, start_s, stop_s, best_s))


def strip_json(strip: "Strip") -> dict[str, Any]:
    """A strip as the page draws it; `of_s` is the stretch of which it is the whole or a part."""
    return {
        "start_s": strip.start_s, "stop_s": strip.stop_s, "of_s": strip.of_s, "missing": strip.missing,
        "events": [list(event) for event in strip.events],
        "traces": [_trace_json(trace, strip.start_s, strip.stop_s) for trace in strip.traces],
    }  # fmt: skip


def _trace_json(trace: "Trace", start_s: float, stop_s: float) -> dict[str, Any]:
    """Times as parts of the strip and values as parts of their range, both 0 to `of`; -1 is a gap; base64."""
    import numpy as np

    finite = trace.values[np.isfinite(trace.values)].astype(np.float64)
    low, high = float(finite.min()), float(finite.max())
    at = (trace.time_s.astype(np.float64) - start_s) / (stop_s - start_s)
    up = (trace.values.astype(np.float64) - low) / (high - low or 1.0)
    return {
        "channel": trace.channel, "label": trace.label, "unit": trace.unit, "steps": trace.steps, "low": low,
        "high": high, "of": _PARTS, "t": _packed(at), "v": _packed(up),
    }  # fmt: skip


def _packed(parts: "np.ndarray") -> str:
    """Numbers from 0 to 1 as little-endian int16, 0 to `_PARTS`, NaN as -1; base64."""
    import numpy as np

    whole = np.where(np.isfinite(parts), np.round(np.nan_to_num(parts) * _PARTS), -1).astype("<i2")
    return base64.b64encode(whole.tobytes()).decode()
