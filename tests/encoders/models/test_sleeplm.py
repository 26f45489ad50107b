"""SleepLM behind our contract: what it is given, what it writes, where its weights come from."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoders.errors import BadInput
from encoders.models import load_encoder
from encoders.models.sleeplm import PARTS, READS, SleepLM, decode, normalised, tokenizer
from encoders.models.weights import find_weights, remembered_sha256
from encoders.recordings.epochs import ChannelStatistics, Epochs
from encoders.vocabulary import CHANNELS
from tests.encoders.models.conftest import tiny_sleeplm

ROOT = Path(__file__).resolve().parents[3]


def night(n: int = 4) -> Epochs:
    """Epochs with a mean and a scale of their own; the thorax is missing in epoch 1, the position in epoch 2."""
    rng = np.random.default_rng(3)
    signals = rng.normal(5, 20, (n, 12, 1920)).astype(np.float32)
    signals[:, 9] = 2
    present = np.ones((n, 12), bool)
    present[1:2, CHANNELS.index("THX")] = present[2:3, CHANNELS.index("POS")] = False
    signals[~present] = 0
    numbers = {name: np.full(12, np.nan, np.float32) for name in ChannelStatistics.__dataclass_fields__}
    numbers |= {"mean": np.full(12, 5, np.float32), "sd": np.full(12, 20, np.float32)}
    numbers["sd"][CHANNELS.index("EMG_CHIN")] = np.nan  # a channel that the recording has no statistics of
    return Epochs(np.arange(n) * 30.0, signals, present, np.zeros((n, 12), np.uint8), ChannelStatistics(**numbers))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SleepLM:
    """A small model with random weights, from a file with its configuration beside it."""
    name = tiny_sleeplm(tmp_path_factory.mktemp("sleeplm"), seed=1)
    found = load_encoder(name, device="cpu", dtype="float32")
    assert isinstance(found, SleepLM)
    return found


def test_input_is_z_scored_over_the_recording_clipped_and_zero_where_missing() -> None:
    epochs = night()
    assert epochs.signals is not None
    epochs.signals[0, 0, 0] = 5 + 20 * 50
    made = normalised(epochs)
    assert made.shape == (4, 10, 1920) and made.dtype == np.float32
    assert made[0, 0, 0] == 6.0
    assert np.allclose(made[3, 6], (epochs.signals[3, 6] - 5) / 20)
    assert not made[1, READS.index("THX")].any() and not made[:, READS.index("EMG_CHIN")].any()
    assert (made[0, 9] == 2).all() and (made[2, 9] == -1).all()  # codes as they are; unknown is -1, zero would be right


def test_an_epoch_embeds_the_same_alone_and_in_its_night(encoder: SleepLM) -> None:
    epochs = night()
    together = encoder.embed_epochs(epochs)
    assert together.shape == (4, 6) and np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(encoder.embed_epochs(epochs[2:3]), together[2:3], atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-4


@pytest.mark.slow
def test_a_long_embedding_is_compiled_and_equals_the_plain_one(
    encoder: SleepLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encoders.models.sleeplm.batch_size", lambda *_: 2)
    source, epochs = encoder.name.removeprefix("sleeplm:"), night(5)
    plain = SleepLM(source, device="cpu", dtype="bfloat16", compile_from_s=None)
    quick = SleepLM(source, device="cpu", dtype="bfloat16", compile_from_s=0.0)
    found, expected = quick.embed_epochs(epochs), plain.embed_epochs(epochs)
    assert quick.runs_on == plain.runs_on + ", compiled"
    assert np.abs(found - expected).max() < 0.03  # bfloat16 keeps 8 bits; fused steps round less often
    assert np.array_equal(found[[0, 1, 4]], expected[[0, 1, 4]])  # the first batch told the pace, the last is shorter


@pytest.mark.slow
def test_without_a_compiler_all_stays_as_it_is(encoder: SleepLM, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo
    import torch._inductor.exc

    torch._dynamo.reset()  # what an earlier test compiled would do here

    def absent(*_: object, **__: object) -> None:
        raise torch._inductor.exc.InvalidCxxCompiler()

    monkeypatch.setattr("encoders.models.sleeplm.batch_size", lambda *_: 2)
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", absent)
    source, epochs = encoder.name.removeprefix("sleeplm:"), night(5)
    plain = SleepLM(source, device="cpu", dtype="bfloat16", compile_from_s=None)
    found = SleepLM(source, device="cpu", dtype="bfloat16", compile_from_s=0.0)
    assert np.array_equal(found.embed_epochs(epochs), plain.embed_epochs(epochs))
    assert "not compiled (" in found.runs_on
    assert "compiled" not in encoder.runs_on  # a short one, or float32, is never


def test_texts_embed_in_their_order_whatever_their_length(encoder: SleepLM) -> None:
    texts = ["deep sleep with slow waves and no arousal at all", "wake", "REM sleep"]
    together = encoder.embed_texts(texts)
    alone = np.concatenate([encoder.embed_texts([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-5) and together.shape == (3, 6)


def test_captions_come_in_five_parts_and_unknown_parts_are_refused(encoder: SleepLM) -> None:
    from encoders.models.recoca import Decoding

    short = Decoding(longest=12, shortest=3)
    captions = encoder.describe(night(2), decoding=short)
    assert [set(caption) for caption in captions] == [set(PARTS)] * 2
    some = encoder.describe(night(2), ["stage_event", "brain"], decoding=short)
    assert some == [{part: caption[part] for part in ("stage_event", "brain")} for caption in captions]
    with pytest.raises(BadInput, match="legs"):
        encoder.describe(night(1), ["legs"])


def test_a_search_loads_the_text_tower_alone(encoder: SleepLM) -> None:
    fresh = load_encoder(encoder.name, device="cpu", dtype="float32")
    fresh.embed_texts(["wake"])
    assert set(fresh._towers) == {"text"}  # type: ignore[attr-defined]
    fresh.embed_epochs(night(1))
    assert set(fresh._towers) == {"text", "biosignals"}  # type: ignore[attr-defined]


def test_signals_alone_need_no_open_clip() -> None:
    script = (
        "import sys; from encoders.models import load_encoder; "
        "load_encoder('sleeplm:random', device='cpu').tower('biosignals'); sys.exit('open_clip' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_it_knows_n1_and_n2_as_one_stage(encoder: SleepLM) -> None:
    assert {encoder.merges_stages.get(stage, stage) for stage in ("W", "N1", "N2", "N3", "REM")} == {
        "W",
        "light",
        "N3",
        "REM",
    }
    assert load_encoder("text:minilm").merges_stages == {}


def test_name_and_space_lead_back_to_the_same_weights(encoder: SleepLM) -> None:
    again = load_encoder(encoder.name, device="cpu")
    assert again.space == encoder.space and encoder.space.startswith("sleeplm-")
    assert encoder.trained_on == ("SHHS", "MrOS", "CFS", "CCSHS", "WSC") and "SPO2" not in encoder.channels
    assert "float32" in encoder.runs_on


def test_random_weights_are_asked_for_by_name_and_say_so(tmp_path: Path) -> None:
    assert find_weights("random").random
    for wrong in (str(tmp_path / "absent.pt"), str(tmp_path), "", "randon"):
        with pytest.raises(BadInput, match=r"random|expected one checkpoint"):
            load_encoder(f"sleeplm:{wrong}")


def test_generated_numbers_are_closed_up() -> None:
    text = "Delta relative power of 39.05 %, SpO2 98.05%; sleep!"
    assert decode(tokenizer()([text]).tolist()) == ["delta relative power of 39.05%, spo2 98.05%; sleep!"]


def test_a_hub_name_offline_is_taken_from_its_cache_with_its_revision(
    encoder: SleepLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "c" * 40
    held = tmp_path / "models--org--name" / "snapshots" / commit
    held.mkdir(parents=True)
    (held / "model_checkpoint.pt").write_bytes(b"weights")
    (held.parents[1] / "refs").mkdir()
    (held.parents[1] / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = find_weights("hf-hub:org/name")
    assert found.source == f"hf-hub:org/name@{commit}" and found.path == held / "model_checkpoint.pt"
    assert find_weights(found.source).path == found.path
    with pytest.raises(BadInput, match=r"hf-hub:org/other.*HF_HUB_OFFLINE"):
        find_weights("hf-hub:org/other")


def test_hashes_are_computed_once_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    first = remembered_sha256(path)
    monkeypatch.setattr("encoders.models.weights.file_sha256", lambda _: pytest.fail("computed twice"))
    assert remembered_sha256(path) == first


def test_epochs_without_signals_are_a_programming_error(encoder: SleepLM) -> None:
    with pytest.raises(ValueError, match="signals=True"):
        encoder.embed_epochs(replace(night(1), signals=None, statistics=None))
