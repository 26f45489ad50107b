"""Where training begins: weights of chance, or trained ones, all of which move or only a thin product beside each."""

from dataclasses import replace
from pathlib import Path

from encoders.errors import BadInput
from encoders.models.small.decoder import caption_words
from encoders.models.small.model import SmallModel
from encoders.models.small.small import CARD, NAME, RELEASED, SCHEME, load_model
from encoders.training.config import SCRATCH, TrainConfig
from encoders.training.feed import Feed
from encoders.training.lora import add_lora

_STANDARD = 512  # epochs from which the features' means and deviations are taken


def start_model(config: TrainConfig, feed: Feed) -> SmallModel:
    """A model from scratch, its features standardised on the data; or trained weights, all of them or LoRA's moving."""
    start = config.model.start
    if start == SCRATCH:
        sizes = config.small
        if sizes.decoder_layers:
            sizes = replace(sizes, words=caption_words())
        model = SmallModel(sizes)
        some = feed.signals(feed.rows(0, _STANDARD))
        model.signals.standardise(some.x, some.present)
        return model
    model = load_model(folder_of(start))
    if config.objectives.caption and model.decoder is None:
        raise BadInput(f"objectives.caption: {start} has no decoder; leave its weight at 0")
    if config.model.adapt == "lora":
        add_lora(model, config.model.lora_rank, config.model.lora_alpha)
    return model


def folder_of(start: str) -> Path:
    """Where the weights named so are; `BadInput` says what can be trained on."""
    folder = RELEASED if start == NAME else Path(start.removeprefix(SCHEME)).expanduser()
    if not (start == NAME or start.startswith(SCHEME)):
        raise BadInput(f"model.start = {start!r}: possible are {SCRATCH}, {NAME} and {SCHEME}PATH")
    if not (folder / CARD).is_file():
        raise BadInput(f"model.start = {start!r}: no weights there; give a folder that `sleepsearch train` wrote")
    return folder
