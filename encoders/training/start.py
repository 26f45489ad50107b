"""Where training begins: weights of chance, or trained ones, all of which move or only a thin product beside each.

A start knows what its kind of model is fed and how its weights are kept; the loop is the same for all.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from encoders.errors import BadInput
from encoders.models.recoca import ReCoCaConfig
from encoders.models.recoca.checkpoint import open_state
from encoders.models.registry import TEXT_ENCODER
from encoders.models.sleeplm import PUBLISHED, SleepLM, read_card, save_sleeplm, source_of
from encoders.models.sleeplm import SCHEME as SLEEPLM
from encoders.models.small.decoder import caption_words
from encoders.models.small.model import SmallModel
from encoders.models.small.small import CARD, NAME, RELEASED, SCHEME, load_model, save_model
from encoders.models.weights import Weights, find_weights
from encoders.training.config import SCRATCH, TrainConfig
from encoders.training.feed import Feed
from encoders.training.lora import add_lora
from encoders.training.sleeplm import Model, SleepLMModel, SpokenTokens, TokenBank, token_ids
from encoders.training.spoken import Spoken
from encoders.training.texts import SentenceBank
from encoders.training.wordings import all_sentences

_STANDARD = 512  # epochs from which the features' means and deviations are taken


class Start:
    """Weights of chance, or those of a `sleepsearch-small`."""

    scheme = SCHEME  # how the finished folder is named as an encoder
    sleeplm = False  # whether the cache must hold SleepLM's inputs
    token_ids: Callable[[Sequence[str]], Tensor] | None = None  # texts as the text tower takes them; None: by vectors

    def __init__(self, config: TrainConfig) -> None:
        """`BadInput` for a start that can't be trained, or an objective that it has no part for."""
        self.config = config
        self.folder = None if config.model.start == SCRATCH else _folder_of(config.model.start)

    @property
    def card(self) -> dict[str, Any]:
        """Of the weights that training begins with: `trained_on`, `sites`; empty from scratch."""
        card: dict[str, Any] = json.loads((self.folder / CARD).read_text(encoding="utf-8")) if self.folder else {}
        return card

    def bank(self, given: SentenceBank | None, opened: Callable[[], SentenceBank]) -> SentenceBank:
        """What texts are made of: `given`, or what `opened` finds or makes."""
        return given or opened()

    def model(self, feed: Feed) -> Model:
        """From scratch with its features standardised on the data; or trained weights, all or LoRA's moving."""
        config = self.config
        if config.model.start == SCRATCH:
            sizes = config.small
            if sizes.decoder_layers:
                sizes = replace(sizes, words=caption_words())
            fresh = SmallModel(sizes)
            some = feed.signals(feed.rows(0, _STANDARD))
            fresh.signals.standardise(some.x, some.present)
            return fresh
        model = self._trained()
        if config.model.adapt == "lora":
            add_lora(model, config.model.lora_rank, config.model.lora_alpha)
        return model

    def _trained(self) -> Model:
        assert self.folder is not None
        model = load_model(self.folder)
        if self.config.objectives.caption and model.decoder is None:
            raise BadInput(f"objectives.caption: {self.config.model.start} has no decoder; leave its weight at 0")
        return model

    def spoken(self, model: Model) -> Spoken:
        """Captions as the model's decoder reads them."""
        assert isinstance(model, SmallModel)
        return Spoken(model.config.words)

    def save(self, model: Model, folder: Path, card: dict[str, Any]) -> None:
        """Weights, configuration and card as the registry reads them."""
        assert isinstance(model, SmallModel)
        save_model(model, folder, card)


class SleepLMStart(Start):
    """The published SleepLM, or one trained on from it; only the parts that the objectives need are loaded."""

    scheme = SLEEPLM
    sleeplm = True
    token_ids = staticmethod(token_ids)

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        chosen, start = config.objectives, config.model.start
        if chosen.dash:
            raise BadInput(
                f"objectives.dash = {chosen.dash:g}: {start} has no mask for absent sensors, half of them would be "
                "learnt as flat lines; say dash = 0"
            )
        if chosen.steps:
            raise BadInput(f"objectives.steps = {chosen.steps:g}: {start} gives no vectors of steps; say steps = 0")
        try:
            self.weights: Weights = find_weights(source_of(start) or "")
        except BadInput as wrong:
            raise BadInput(f"model.start: {wrong}") from wrong
        if chosen.masked and not self._rebuilds:
            raise BadInput(
                f"objectives.masked = {chosen.masked:g}: {start} has no signal decoder to rebuild what is hidden; say "
                "masked = 0"
            )

    @cached_property
    def _path(self) -> Path:
        if self.weights.path is None:
            raise BadInput(
                f"model.start = {self.config.model.start!r}: random weights have learnt nothing to go on from; say "
                f"{SCRATCH}, or name a checkpoint"
            )
        return self.weights.path

    @cached_property
    def _rebuilds(self) -> bool:
        with open_state(self._path) as state:
            return any(key.startswith("signal_decoder.") for key in state)

    @property
    def card(self) -> dict[str, Any]:
        return read_card(self._path) or {"trained_on": SleepLM.trained_on}

    def bank(self, given: SentenceBank | None, opened: Callable[[], SentenceBank]) -> SentenceBank:
        return TokenBank.of(given.sentences if given else all_sentences())

    def _trained(self) -> Model:
        chosen = self.config.objectives
        parts = ["biosignals", "text"]
        parts += ["text_decoder"] * bool(chosen.caption) + ["signal_decoder"] * bool(chosen.masked)
        recoca = self.weights.load(ReCoCaConfig.read(self.weights.config or PUBLISHED), parts)
        for tensor in (*recoca.parameters(), *recoca.buffers()):
            tensor.data = tensor.data.clone()  # it may be the file itself, mapped
        return SleepLMModel(recoca.requires_grad_(True))

    def spoken(self, model: Model) -> Spoken:
        return SpokenTokens()

    def save(self, model: Model, folder: Path, card: dict[str, Any]) -> None:
        assert isinstance(model, SleepLMModel)
        save_sleeplm(model.recoca, self._path, folder, card)


def start_of(config: TrainConfig) -> Start:
    """The start that `model.start` names; `BadInput` says what can be trained."""
    return SleepLMStart(config) if source_of(config.model.start) is not None else Start(config)


def _folder_of(start: str) -> Path:
    if start == TEXT_ENCODER:
        raise BadInput(
            f"model.start = {start!r}: it reads sentences alone, there are no signals to train on; {SCRATCH} gives "
            "its sentence vectors a signal tower"
        )
    folder = RELEASED if start == NAME else Path(start.removeprefix(SCHEME)).expanduser()
    if not (start == NAME or start.startswith(SCHEME)):
        raise BadInput(f"model.start = {start!r}: possible are {SCRATCH}, {NAME}, {SCHEME}PATH and {SLEEPLM}PATH")
    if not (folder / CARD).is_file():
        raise BadInput(f"model.start = {start!r}: no weights there; give a folder that `sleepsearch train` wrote")
    return folder
