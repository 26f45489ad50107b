"""The training loop: from a configuration to a folder of weights, through any number of interruptions."""

import copy
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from encoders.errors import BadInput
from encoders.training.augment import augment
from encoders.training.cache import build_cache
from encoders.training.card import make_card
from encoders.training.config import Optimiser, Schedule, TrainConfig
from encoders.training.feed import Feed, split_store
from encoders.training.journal import Journal
from encoders.training.lora import merge_lora
from encoders.training.processes import Processes, processes, stoppable
from encoders.training.start import start_of
from encoders.training.state import Average, State, make_optimiser
from encoders.training.step import Said, Signals, Step
from encoders.training.store import EpochStore
from encoders.training.texts import SentenceBank, TextSampler
from encoders.training.validate import Prompts, look

Progress = Callable[[str, int, int], None]  # the losses, how far, of how much

SETTINGS = "train.toml"
_PERMILLE = 1000


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: its folder, its name as an encoder; losses and figures are of the subjects kept apart."""

    folder: Path
    encoder: str
    steps: int
    epochs_seen: int
    seconds: float
    figures: dict[str, float]


def train(
    config: TrainConfig, out: Path, *, progress: Progress | None = None, resume: bool = True,
    bank: SentenceBank | None = None,
) -> Trained:  # fmt: skip
    """Train as `config` says and leave weights, card, log and settings in `out`.

    The same call goes on where a killed one ended (`resume`; else it begins again). Under `torchrun` each process calls
    this. Ctrl-C and SIGTERM save first and then raise KeyboardInterrupt. `bank`: the sentences that texts are made of;
    default: all that there are, which are embedded once, in minutes. `BadInput` for a configuration that can't be
    run, or an `out` that belongs to another run.
    """
    config.check()
    with processes(config.run.device, config.run.dtype) as group:
        out.mkdir(parents=True, exist_ok=True)
        return _Run(config, out, group, bank, progress, resume=resume).go()


class _Run:
    """A run between its beginning and its end, in one of its processes."""

    def __init__(
        self, config: TrainConfig, out: Path, group: Processes, bank: SentenceBank | None, progress: Progress | None,
        *, resume: bool,
    ) -> None:  # fmt: skip
        self.config, self.out, self.group, self.progress = config, out, group, progress
        self.start = start_of(config)
        self.store = _open_store(config, out, group, progress, sleeplm=self.start.sleeplm)
        self.split = split_store(self.store, config.data)
        # Of all that may be trained on, also where fewer subjects are: runs on more and on less draw the same texts.
        sampling, usual = config.sampling, np.delete(self.store.bits, self.split.kept, axis=0)
        sampler = TextSampler(
            self.start.bank(bank, lambda: _open_bank(config, group, progress)), usual,
            texts_per_epoch=sampling.texts_per_epoch, full_share=sampling.full_share, balance=sampling.balance,
        )  # fmt: skip
        self.prompts = Prompts.load(config.run.device, self.start.token_ids)
        self.feed = Feed(self.store, self.split, sampler, config, group.rank, group.world)
        torch.manual_seed(config.run.seed)
        model = self.start.model(self.feed).to(group.placement.device)
        self.spoken = self.start.spoken(model) if config.objectives.caption else None
        dtype, kind = group.placement.dtype, group.placement.device.type
        self.autocast = torch.autocast(kind, dtype=dtype, enabled=dtype != torch.float32)
        self.state = State(
            model, Average(model, config.optimiser.ema), make_optimiser(model, config.optimiser),
            torch.amp.GradScaler(kind, enabled=dtype == torch.float16),
        )  # fmt: skip
        if resume:
            self.state.load(out, config)
        self.step = group.share(Step(model, config.objectives, self.spoken))
        self.journal = Journal(out, self.state.step, tensorboard=config.run.tensorboard) if group.first else None
        if group.first:
            config.write(out / SETTINGS)

    def go(self) -> Trained:
        """Train to the end, or until somebody asks to stop."""
        state, run, losses = self.state, self.config.run, []
        saved = looked = state.seconds
        with closing(self.feed.steps(state.step)) as batches, stoppable() as asked:
            while (done := done_of(self.config.schedule, state.step, state.seconds)) < 1:
                began = time.monotonic()
                losses.append(self._learn(*next(batches), done))
                stop, seconds = self.group.agree(asked.stop, time.monotonic() - began)
                state.seconds += seconds
                if state.step % run.log_steps == 0:
                    self._say(losses, done)
                    losses = []
                if run.validate_minutes and state.seconds - looked > 60 * run.validate_minutes:
                    self._look()
                    looked = state.seconds
                if stop or state.seconds - saved > run.checkpoint_seconds:
                    self._save()
                    saved = state.seconds
                if stop:
                    raise KeyboardInterrupt
        if losses:
            self._say(losses, done)
        self._save()
        figures = self._look()
        if self.group.first:
            self._publish(figures)
        self.group.wait()
        seen = state.step * self.config.schedule.batch
        encoder = f"{self.start.scheme}{self.out.resolve()}"
        return Trained(self.out, encoder, state.step, seen, round(state.seconds, 1), figures)

    def _learn(self, signals: Signals, said: Said, done: float) -> dict[str, Tensor]:
        """One step; its losses, unweighted, their weighted sum, and how long the gradient was."""
        state, chosen = self.state, self.config.optimiser
        device = self.group.placement.device
        # Everything random in a step follows from here: a run that goes on needs no random state.
        seed = np.random.SeedSequence([self.config.run.seed, state.step, self.group.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(seed[0]))
        generator = torch.Generator(device).manual_seed(int(seed[0] >> np.uint64(1)))
        signals, said = signals.to(device), said.to(device)
        x, present, night = augment(signals.x, signals.present, signals.night, self.config.augmentation, generator)
        signals = replace(signals, x=x, present=present, night=night)
        for group in state.optimiser.param_groups:
            group["lr"] = rate_of(chosen, done)
        state.optimiser.zero_grad(set_to_none=True)
        with self.autocast:
            losses: dict[str, Tensor] = self.step.train()(signals, said, generator)
        total = torch.stack([getattr(self.config.objectives, name) * loss for name, loss in losses.items()]).sum()
        state.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        state.scaler.unscale_(state.optimiser)
        moving = [p for p in state.model.parameters() if p.requires_grad]
        length = torch.nn.utils.clip_grad_norm_(moving, chosen.clip or math.inf)
        if state.scaler.is_enabled() or length.isfinite():  # the scaler leaves such steps out by itself
            state.scaler.step(state.optimiser)
        state.scaler.update()
        state.step += 1
        state.average.follow(state.model, state.step)
        return {name: loss.detach() for name, loss in losses.items()} | {"loss": total.detach(), "gradient": length}

    def _say(self, losses: Sequence[dict[str, Tensor]], done: float) -> None:
        if self.journal is None:
            return
        mean = {name: float(torch.stack([each[name] for each in losses]).float().mean()) for name in losses[0]}
        state = self.state
        speed = state.step * self.config.schedule.batch / max(state.seconds, 1e-9)
        rest = {"seconds": state.seconds, "lr": rate_of(self.config.optimiser, done), "epochs_per_s": speed}
        self.journal.write("train", state.step, mean | rest)
        if self.progress:
            words = " · ".join(f"{name} {mean[name]:.3f}" for name in mean if name not in ("loss", "gradient"))
            self.progress(f"{words} · {speed:.0f} epochs/s", min(_PERMILLE, round(_PERMILLE * done)), _PERMILLE)

    def _look(self) -> dict[str, float]:
        """The moving average on the subjects kept apart."""
        rows, device = self.split.kept, self.group.placement.device
        if not len(rows):
            return {}
        most = self.config.run.validation_epochs
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
        step = Step(self.state.average.model, self.config.objectives, self.spoken).eval()
        with self.autocast:
            found = look(step, self.feed, rows, self.prompts, device)
        if self.journal:
            self.journal.write("validation", self.state.step, found)
        return found

    def _save(self) -> None:
        if self.group.first:
            self.state.save(self.out, self.config)

    def _publish(self, figures: dict[str, float]) -> None:
        model = copy.deepcopy(self.state.average.model)
        merge_lora(model)
        runs_on = f"{self.group.placement}" + (f", {self.group.world} processes" if self.group.world > 1 else "")
        card = make_card(self.start, self.store, self.split, self.state, figures, runs_on)
        self.start.save(model, self.out, card)
        if self.journal:
            self.journal.close()


def done_of(schedule: Schedule, step: int, seconds: float) -> float:
    """How much of the run is done, from 0; 1 and more is the end."""
    ends = (
        (schedule.steps, step), (schedule.minutes, seconds / 60), (schedule.epochs_seen, step * schedule.batch)
    )  # fmt: skip
    return max(now / end for end, now in ends if end)


def rate_of(chosen: Optimiser, done: float) -> float:
    """The learning rate there: it rises in a line, then falls along a cosine."""
    if done < chosen.warm_up:
        return chosen.lr * (done + 1e-3) / (chosen.warm_up + 1e-3)
    falling = (done - chosen.warm_up) / (1 - chosen.warm_up)
    return chosen.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, falling)))


def _open_store(
    config: TrainConfig, out: Path, group: Processes, progress: Progress | None, *, sleeplm: bool
) -> EpochStore:
    """All epochs; recordings that are not cached yet are, by the first process."""
    data = config.data
    folders = [Path(folder) for folder in (*data.cache, *data.validation)]
    if data.sources:
        cache = out / "cache"
        if group.first:
            subjects = Path(data.subjects) if data.subjects else None
            sources = [Path(source) for source in data.sources]
            built = build_cache(
                sources, cache, workers=data.workers, subjects=subjects, progress=progress, sleeplm=sleeplm
            )
            if not built.folders:
                why = f" ({built.failed[0]['error']})" if built.failed else ""
                raise BadInput(f"data.sources: no recording that can be read{why}; `sleepsearch check` lists why")
        group.wait()
        folders.append(cache)
    return EpochStore(folders, sleeplm=sleeplm)


def _open_bank(config: TrainConfig, group: Processes, progress: Progress | None) -> SentenceBank:
    """All sentences with their vectors; the first process makes what is not there."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(config.sampling.bank) if config.sampling.bank else home / "sleepsearch" / "sentences"

    def told(done: int, of: int) -> None:
        if progress:
            progress("sentences of the texts, embedded once", done, of)

    if not group.first:
        group.wait()
    bank = SentenceBank.open(folder, device=config.run.device, progress=told)
    if group.first:
        group.wait()
    return bank
