"""Where a checkpoint comes from: a file, a folder, or a repository of the Hugging Face hub at a pinned revision."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.errors import BadInput

if TYPE_CHECKING:
    from encoders.models.recoca import ReCoCa, ReCoCaConfig

HUB = "hf-hub:"
RANDOM = "random"  # the explicit word for weights that mean nothing
FILES = ("model_checkpoint.safetensors", "model.safetensors", "model_checkpoint.pt", "model.pt")


@dataclass(frozen=True)
class Weights:
    """A checkpoint on this disk; `source` names it again later, with the revision that was taken."""

    source: str
    path: Path | None  # None: random weights
    config: Path | None

    @property
    def random(self) -> bool:
        """Whether these are random numbers, asked for by name."""
        return self.path is None

    @cached_property
    def sha256(self) -> str:
        """Of the file; computed once per file, size and time of change."""
        return "0" * 64 if self.path is None else remembered_sha256(self.path)

    def load(self, config: "ReCoCaConfig", parts: Sequence[str]) -> "ReCoCa":
        """The parts of the model with these weights."""
        from encoders.models.recoca.checkpoint import load_checkpoint, random_model

        return random_model(config, parts) if self.path is None else load_checkpoint(self.path, config, parts)


def find_weights(source: str) -> Weights:
    """The checkpoint of a path, `hf-hub:ORG/NAME[@REVISION]` or `random`; `BadInput` says what would be accepted."""
    if source == RANDOM:
        return Weights(RANDOM, None, None)
    if source.startswith(HUB):
        return _from_hub(source.removeprefix(HUB))
    path = Path(source).expanduser()
    if path.is_dir():
        held = [path / name for name in FILES if (path / name).is_file()]
        others = sorted(p for p in path.iterdir() if p.suffix in (".safetensors", ".pt"))
        if not held and len(others) != 1:
            found = ", ".join(p.name for p in others) or "none"
            raise BadInput(f"{path}: expected one checkpoint, as .safetensors or .pt, found {found}")
        path = (held or others)[0]
    if not source or not path.is_file():
        raise BadInput(
            f"{source or 'sleeplm:'}: no such checkpoint; give a .pt or .safetensors file, its folder, {HUB}ORG/NAME, "
            f"or {RANDOM} for weights that mean nothing"
        )
    return Weights(str(path.resolve()), path, _config_beside(path))


def _config_beside(path: Path) -> Path | None:
    """`config.json`, or the file's own name with _config.json; else the published configuration is meant."""
    stem = path.stem.removesuffix("_checkpoint")
    names = ("config.json", f"{stem}_config.json", f"{path.stem}.json")
    return next((found for name in names if (found := path.with_name(name)).is_file()), None)


def _from_hub(name: str) -> Weights:
    try:
        from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
        )
    except ImportError as missing:
        raise BadInput(f"{HUB}{name}: needs huggingface_hub; pip install 'sleepsearch[sleeplm]'") from missing
    repository, _, revision = name.partition("@")
    try:
        if not revision and not constants.HF_HUB_OFFLINE:
            revision = HfApi().model_info(repository).sha or ""
        for file in FILES:
            kept = try_to_load_from_cache(repository, file, revision=revision or None)
            if isinstance(kept, str):
                return Weights(HUB + _pinned(repository, Path(kept)), Path(kept), None)
        if constants.HF_HUB_OFFLINE:
            raise LocalEntryNotFoundError("not among the downloads of this machine, and the hub is switched off")
        present = HfApi().list_repo_files(repository, revision=revision or None)
        wanted = next((file for file in FILES if file in present), None)
        if wanted is None:
            raise BadInput(f"{HUB}{name}: holds none of {', '.join(FILES)}; found {', '.join(present[:8])}")
        path = Path(hf_hub_download(repository, wanted, revision=revision or None))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as failed:
        reason = str(failed).strip().splitlines()[0]
        raise BadInput(
            f"{HUB}{name}: not to be had ({reason[:200]}). Check the name and the network; with HF_HUB_OFFLINE=1 only "
            "what was downloaded before is used. A file works too: sleeplm:/path/to/checkpoint.pt"
        ) from failed
    return Weights(HUB + _pinned(repository, path), path, None)


def _pinned(repository: str, path: Path) -> str:
    """The repository with the commit that the cached file belongs to: `.../snapshots/<commit>/<file>`."""
    return f"{repository}@{path.parent.name}"


def file_sha256(path: Path) -> str:
    """Hash of a weights file; a cached hub download is named after its own, which is not computed again."""
    real = path.resolve()
    if real.parent.name == "blobs" and len(real.name) == 64 and set(real.name) <= set("0123456789abcdef"):
        return real.name
    with real.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """Hash of a weights file, kept in the user's cache: no question waits seconds for a gigabyte and a half."""
    real = path.resolve()
    stat = real.stat()
    key = f"{real}:{stat.st_size}:{stat.st_mtime_ns}"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sleepsearch" / "weights.json"
    try:
        known: dict[str, str] = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if key not in known:
        known[key] = file_sha256(real)
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(known), encoding="utf-8")
        except OSError:
            pass  # a home that can't be written costs seconds, nothing else
    return known[key]
