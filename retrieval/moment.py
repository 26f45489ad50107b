"""Times as people write them: seconds from the recording's start, or a time of day by the recorder's clock."""

from encoders.errors import BadInput
from encoders.recordings.timeline import DAY_S


def seconds_of(when: str, start_clock_s: float | None, name: str) -> float:
    """`5400` or `23:30[:15]` as seconds from the start of the recording `name`; `BadInput` says what is accepted.

    A time of day is the first one after the start, so that 02:00 of a night begun at 23:00 lies three hours in.
    """
    try:
        if ":" not in when:
            return float(when)
        parts = [float(p) for p in when.split(":")]
        if not 2 <= len(parts) <= 3 or not 0 <= parts[0] < 24 or any(not 0 <= p < 60 for p in parts[1:]):
            raise ValueError
    except ValueError:
        accepted = "give seconds from the start (5400) or a time of day (23:30:15)"
        raise BadInput(f"time {when!r} of {name!r}: {accepted}.") from None
    if start_clock_s is None:
        raise BadInput(f"{name}: its recorder's clock is not known, so give seconds from the start for {when!r}.")
    of_day = parts[0] * 3600 + parts[1] * 60 + (parts[2] if len(parts) == 3 else 0)
    return float((of_day - start_clock_s) % DAY_S)
