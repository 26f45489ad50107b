"""What a training run is asked to do: one TOML file, checked key by key, and saved beside what came of it."""

import json
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

from encoders.errors import BadInput
from encoders.models.small.config import SmallConfig

SCRATCH = "scratch"
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list of texts"}


def _knob(default: Any, about: str, least: float | None = None, most: float | None = None, of: Any = ()) -> Any:
    """A key of the file: its default, what it means (printed by `example`), its range or its choices."""
    facts = {"about": about, "least": least, "most": most, "of": tuple(of)}
    if isinstance(default, dict):
        return field(default_factory=lambda: types.MappingProxyType(default), metadata=facts)
    return field(default=default, metadata=facts)


@dataclass(frozen=True, slots=True)
class Data:
    """Where epochs come from, and whose are kept apart."""

    cache: tuple[str, ...] = _knob((), "folders of cached epochs; relative to this file")
    sources: tuple[str, ...] = _knob((), "EDF files and folders; cached first, under the output")
    subjects: str = _knob("", "CSV for `sources`: recording,subject,age,sex,site")
    validation: tuple[str, ...] = _knob((), "folders of cached epochs that are never trained on")
    validation_share: float = _knob(0.1, "of the subjects, kept apart whole", 0, 0.9)
    held_out_sites: tuple[str, ...] = _knob((), "sites of which nothing is trained on")
    subjects_used: float = _knob(1.0, "of the training subjects", 0, 1)
    channels: tuple[str, ...] = _knob((), "sensors that are looked at; none named: all")
    workers: int = _knob(1, "processes that read `sources`", 1)


@dataclass(frozen=True, slots=True)
class Model:
    """Where training starts, and which weights move."""

    start: str = _knob(SCRATCH, "scratch, sleepsearch-small, trained:PATH or sleeplm:PATH")
    sizes: Mapping[str, float] = _knob({}, "of a model from scratch, such as { width = 128, layers = 2 }")
    adapt: str = _knob(
        "full", "full: every weight; lora: a small matrix beside each, merged at the end", of=("full", "lora")
    )
    lora_rank: int = _knob(8, "rank of those matrices", 1)
    lora_alpha: float = _knob(16.0, "their gain is alpha / rank", 0)


@dataclass(frozen=True, slots=True)
class Objectives:
    """Weights of the losses; 0 leaves one out."""

    NAMES: ClassVar[tuple[str, ...]] = ("contrastive", "sigmoid", "caption", "masked", "dash", "steps")
    contrastive: float = _knob(1.0, "signal against text, softmax both ways", 0)
    sigmoid: float = _knob(0.0, "signal against text, each pair alone (SigLIP)", 0)
    caption: float = _knob(0.0, "the caption's words from the signal; from scratch it needs sizes.decoder_layers", 0)
    masked: float = _knob(0.1, "what hidden patches hold", 0)
    dash: float = _knob(0.1, "two disjoint halves of an epoch's sensors against each other; not for SleepLM", 0)
    steps: float = _knob(0.0, "each two seconds against words for an event: in it or beside it; not for SleepLM", 0)
    balance: bool = _knob(True, "sigmoid: a text's positives weigh as much as its negatives")
    hide_rows: float = _knob(0.5, "share of the epochs in which patches are hidden", 0, 1)
    hide_patches: float = _knob(0.3, "share of their patches, in runs of three", 0.01, 0.9)
    dash_rows: float = _knob(0.5, "share of the epochs seen as two halves; the others are seen whole", 0.01, 1)
    dash_people: bool = _knob(True, "negatives count by age, sex, site and night; false: plain InfoNCE")
    dash_tau: float = _knob(0.2, "temperature of dash", 0.01)
    dash_gamma: float = _knob(0.1, "what a negative of the same night loses", 0)


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a batch is drawn from."""

    nights: int = _knob(0, "recordings that a batch is drawn from, as many epochs of each; 0: from all alike", 0)
    texts_per_epoch: int = _knob(2, "texts drawn for each epoch of a batch; other epochs may match them too", 1)
    full_share: float = _knob(0.5, "of them full captions, the others one to three facts", 0, 1)
    balance: int = _knob(32, "short texts added to a batch, as rare as they come", 0)
    bank: str = _knob("", "folder of the sentences' vectors, made once; empty: under the user's cache")
    share_real: float = _knob(0.0, "of each batch, from recordings that are not simulated; 0: as they come", 0, 1)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How often each change is made to an epoch; 0 never."""

    drop_sensors: float = _knob(0.6, "whole modalities taken away", 0, 1)
    polarity: float = _knob(0.3, "a sensor upside down", 0, 1)
    gain: float = _knob(0.5, "the night's amplitude is not what it was", 0, 1)
    rate: float = _knob(0.2, "as recorded at a lower rate", 0, 1)
    filter: float = _knob(0.4, "another amplifier's filters", 0, 1)
    noise: float = _knob(0.3, "noise over a sensor", 0, 1)
    forget_night: float = _knob(0.1, "nothing is known of the night around", 0, 1)


@dataclass(frozen=True, slots=True)
class Optimiser:
    """AdamW, a linear warm-up, then a cosine to nothing."""

    lr: float = _knob(1e-3, "highest learning rate", 0)
    warm_up: float = _knob(0.03, "share of the run in which it rises", 0, 0.9)
    weight_decay: float = _knob(0.05, "of matrices alone", 0)
    clip: float = _knob(1.0, "longest gradient", 0)
    ema: float = _knob(0.999, "of the weights that are kept; less in the first steps", 0, 1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long: the first of these that is not 0 to be reached ends the run."""

    steps: int = _knob(0, "batches", 0)
    minutes: float = _knob(0.0, "of training, validation left out", 0)
    epochs_seen: int = _knob(0, "30-second epochs, each counted every time", 0)
    batch: int = _knob(256, "epochs a step, over all processes", 2)


@dataclass(frozen=True, slots=True)
class Run:
    """The machine, and how often something is said."""

    seed: int = _knob(50001, "of weights, order, texts and augmentation", 0)
    device: str = _knob("auto", "auto, cpu, cuda ...")
    dtype: str = _knob("auto", "of what autocast may halve", of=("auto", "float32", "bfloat16", "float16"))
    log_steps: int = _knob(20, "steps between two lines of log.jsonl", 1)
    validate_minutes: float = _knob(10.0, "between two looks at the subjects kept apart; 0: at the end alone", 0)
    validation_epochs: int = _knob(2000, "how many of their epochs are looked at", 1)
    checkpoint_seconds: float = _knob(300.0, "between two checkpoints", 0)
    tensorboard: bool = _knob(True, "also write TensorBoard's files, where it is installed")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run."""

    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    objectives: Objectives = field(default_factory=Objectives)
    sampling: Sampling = field(default_factory=Sampling)
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    run: Run = field(default_factory=Run)

    PATHS: ClassVar[tuple[str, ...]] = ("cache", "sources", "subjects", "validation")

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """From TOML; paths in it become absolute. `BadInput` names file, key, value and what would be accepted."""
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as wrong:
            raise BadInput(
                f"{path}: not a training configuration ({wrong}); `sleepsearch train --example` prints one"
            ) from wrong
        try:
            config = cls.of(table)
        except BadInput as wrong:
            raise BadInput(f"{path.name}: {wrong}") from wrong
        base = path.resolve().parent
        sampling = replace(config.sampling, bank=_from(base, config.sampling.bank))
        absolute: dict[str, Any] = {}
        for key in cls.PATHS:
            value = getattr(config.data, key)
            absolute[key] = tuple(_from(base, p) for p in value) if isinstance(value, tuple) else _from(base, value)
        start = config.model.start
        scheme, _, place = start.partition(":")
        if scheme in ("trained", "sleeplm") and not place.startswith("hf-hub:"):
            start = f"{scheme}:{_from(base, place)}"
        data, model = replace(config.data, **absolute), replace(config.model, start=start)
        return replace(config, data=data, model=model, sampling=sampling)

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "TrainConfig":
        """From sections of keys; what is not said keeps its default."""
        return TrainConfig().but(table)

    def but(self, table: Mapping[str, Any]) -> "TrainConfig":
        """The same with some keys of some sections changed."""
        sections = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, keys in table.items():
            if name not in sections:
                raise BadInput(_unknown("section", name, sections))
            if not isinstance(keys, Mapping):
                raise BadInput(f"{name} = {keys!r}: a section is written [{name}], its keys below")
            sections[name] = _section(name, sections[name], keys)
        return TrainConfig(**sections)

    def to_table(self) -> dict[str, dict[str, Any]]:
        """Plain sections of keys, as `of` takes them."""
        sections = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: {key.name: _plain(getattr(section, key.name)) for key in fields(section)}
            for name, section in sections.items()
        }

    def write(self, path: Path) -> None:
        """As TOML that `read` takes."""
        path.write_text(_toml(self), encoding="utf-8")

    @property
    def small(self) -> SmallConfig:
        """The sizes of a model from scratch; without a decoder's words, which come from the captions' vocabulary."""
        known = {f.name: f for f in fields(SmallConfig) if f.name not in ("words", "inputs", "sentence_dim")}
        for key in self.model.sizes:
            if key not in known:
                raise BadInput(_unknown("model.sizes: key", key, known))
        sizes = {k: float(v) if k == "dropout" else int(v) for k, v in self.model.sizes.items()}
        if wrong := next((k for k, v in sizes.items() if v < (0 if k in ("dropout", "decoder_layers") else 1)), None):
            raise BadInput(f"model.sizes.{wrong} = {sizes[wrong]}: at least 1 is possible")
        config = SmallConfig(**sizes)  # type: ignore[arg-type]
        if config.width % config.heads:
            raise BadInput(f"model.sizes: heads = {config.heads} must divide width = {config.width}")
        return config

    def check(self) -> None:
        """`BadInput` where keys that are right alone do not make a run together."""
        _ = self.small
        chosen = self.objectives
        if not any(getattr(chosen, name) for name in chosen.NAMES):
            raise BadInput("objectives: all weights are 0; give at least one, such as contrastive = 1.0")
        if not (self.schedule.steps or self.schedule.minutes or self.schedule.epochs_seen):
            raise BadInput("schedule: no end; say steps, minutes or epochs_seen")
        if not (self.data.cache or self.data.sources):
            raise BadInput("data: nothing to train on; name folders in cache, or recordings in sources")
        if self.model.start == SCRATCH and self.model.adapt == "lora":
            raise BadInput(
                'model.adapt = "lora": needs trained weights to start from, such as start = "sleepsearch-small"'
            )
        if self.model.start != SCRATCH and self.model.sizes:
            raise BadInput(f'model.sizes: come with the weights of start = "{self.model.start}"; leave them out')
        if chosen.caption and self.model.start == SCRATCH and not self.small.decoder_layers:
            raise BadInput("objectives.caption: needs a decoder; say model.sizes = { decoder_layers = 2 }")


def example() -> str:
    """A file with every key at its default, and what each one means."""
    return _toml(TrainConfig.of({"data": {"sources": ["recordings/"]}, "schedule": {"minutes": 60.0}}), commented=True)


def preset(name: str) -> TrainConfig:
    """A recipe that comes with the package, without its data: `cpu` or `gpu`."""
    known = {path.stem.removeprefix("preset_"): path for path in Path(__file__).parent.glob("preset_*.toml")}
    if name not in known:
        raise BadInput(_unknown("preset", name, sorted(known)))
    return TrainConfig.of(tomllib.loads(known[name].read_text(encoding="utf-8")))


def _section(name: str, section: Any, keys: Mapping[str, Any]) -> Any:
    known = {f.name: f for f in fields(section)}
    changed = {}
    for key, value in keys.items():
        if key not in known:
            raise BadInput(_unknown(f"[{name}]: key", key, known))
        changed[key] = _value(f"{name}.{key}", value, getattr(section, key), known[key].metadata)
    return replace(section, **changed)


def _value(where: str, value: Any, default: Any, facts: Mapping[str, Any]) -> Any:
    kind = type(default)
    if isinstance(default, Mapping):
        if not isinstance(value, Mapping) or not all(type(v) in (int, float) for v in value.values()):
            raise BadInput(f"{where} = {value!r}: expected names with numbers, such as {{ width = 128 }}")
        return types.MappingProxyType(dict(value))
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple and isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
        value = tuple(value)
    if type(value) is not kind:
        raise BadInput(f"{where} = {value!r}: expected {_KINDS[kind]}, such as {_written(default)}")
    least, most, of = facts["least"], facts["most"], facts["of"]
    if (least is not None and not value >= least) or (most is not None and not value <= most):
        limits = f"at least {least:g}" if most is None else f"{least:g} to {most:g}"
        raise BadInput(f"{where} = {value!r}: possible is {limits}")
    if of and value not in of:
        raise BadInput(f"{where} = {value!r}: possible are {', '.join(of)}")
    return value


def _unknown(what: str, name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), 1, 0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{what} {name!r} is not known; known: {', '.join(known)}.{hint}"


def _from(base: Path, path: str) -> str:
    return str(base / Path(path).expanduser()) if path else path


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value


def _written(value: Any) -> str:
    """A value as TOML has it; JSON's texts, numbers and lists are TOML's too."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {_written(v)}" for key, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(_plain(value))


def _toml(config: TrainConfig, *, commented: bool = False) -> str:
    lines = []
    for name, keys in config.to_table().items():
        section = getattr(config, name)
        lines.append(f"[{name}]  # {type(section).__doc__}" if commented else f"[{name}]")
        about = {f.name: f.metadata for f in fields(section)}
        for key, value in keys.items():
            said = about[key]["about"] + (f" ({' | '.join(about[key]['of'])})" if about[key]["of"] else "")
            lines.append(f"{key} = {_written(value)}" + (f"  # {said}" if commented else ""))
        lines.append("")
    return "\n".join(lines)
