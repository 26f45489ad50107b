"""What a training run needs, small enough for seconds: a hand-made cache, and sentences with made-up vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from encoders.models.small.inputs import NIGHT, VERSION
from encoders.models.small.patches import STEPS
from encoders.training.facts import FACTS_VERSION, INDEX, SLOTS
from encoders.training.moments import EVENT_SLOTS
from encoders.training.texts import SentenceBank
from encoders.training.wordings import all_sentences
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES

EPOCHS = 24


def write_cache(
    folder: Path, recording: str, *, subject: str, site: str, simulated: bool = True, seed: int = 0
) -> None:
    """A recording's folder in which wake is fast and N3 slow on every sensor."""
    rng = np.random.default_rng(seed)
    deep = rng.random(EPOCHS) < 0.5
    time_s = np.arange(EPOCH_SAMPLES) / 64
    hz = np.where(deep, 1.0, 10.0)[:, None, None]
    wave = np.sin(2 * np.pi * (hz * time_s + rng.random((EPOCHS, len(CHANNELS), 1))))
    bits = np.zeros((EPOCHS, len(SLOTS)), np.uint32)
    bits[:, INDEX["stage"]] = np.where(deep, 1 << 3, 1)
    bits[:, INDEX["arousal"]] = 1 + rng.integers(0, 2, EPOCHS)
    out = folder / recording
    out.mkdir(parents=True)
    np.save(out / "x.npy", (wave + 0.3 * rng.standard_normal(wave.shape)).astype(np.float16))
    np.save(out / "present.npy", rng.random((EPOCHS, len(CHANNELS))) < 0.9)
    codes = np.broadcast_to(np.float16(2), (EPOCHS, 1, EPOCH_SAMPLES))
    np.save(out / "sleeplm.npy", np.concatenate([np.load(out / "x.npy")[:, :9], codes], 1))
    np.save(out / "night.npy", rng.standard_normal((len(CHANNELS), NIGHT)).astype(np.float32))
    np.save(out / "bits.npy", bits)
    aroused = np.where(bits[:, INDEX["arousal"]] == 2, np.uint32(1 << EVENT_SLOTS.index(INDEX["arousal"])), 0)
    np.save(out / "moments.npy", (aroused[:, None] * (np.arange(STEPS) < 3)).astype(np.uint32))
    row = {
        "recording": recording, "subject": subject, "site": site, "age": 30.0 + seed, "sex": "FM"[seed % 2],
        "simulated": simulated, "epochs": EPOCHS, "stages_told": None, "scorer": "truth", "inputs": VERSION,
        "facts": FACTS_VERSION, "noted": [], "fingerprint": recording,
    }  # fmt: skip
    (out / "row.json").write_text(json.dumps(row))


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings of five subjects at two sites, one of them real."""
    folder = tmp_path_factory.mktemp("cache")
    for number, (subject, site) in enumerate((("a", "x"), ("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"), ("e", "x"))):
        write_cache(folder, f"r{number}", subject=subject, site=site, simulated=subject != "e", seed=number)
    return folder


@pytest.fixture(scope="session")
def tiny_bank() -> SentenceBank:
    """A tenth of the sentences, with vectors of chance: what they claim is what is learnt."""
    chosen = tuple(s for s in all_sentences() if s.kind != "unseen")[::10]
    vectors = np.random.default_rng(1).standard_normal((len(chosen), 384)).astype(np.float16)
    return SentenceBank(chosen, np.stack([s.claim for s in chosen]), vectors)
