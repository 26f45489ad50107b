"""What a run says of itself: `log.jsonl` always, TensorBoard's files where it is installed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG = "log.jsonl"


class Journal:
    """Appends to a run's log from `step` on; lines that a killed run wrote after its last checkpoint go."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool) -> None:
        path = folder / LOG
        kept = []
        if path.is_file() and step:
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step(line) <= step]
        part = folder / f"{LOG}.part"
        part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        part.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return  # the log has the same numbers
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """One line of numbers: `kind` is train or validation."""
        line = {"kind": kind, "step": step, **{name: round(value, 6) for name, value in values.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)
            self._board.flush()

    def close(self) -> None:
        """Finish the files."""
        self._file.close()
        if self._board:
            self._board.close()


def read_log(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of that kind, first to last."""
    lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    return [found for line in lines if (found := json.loads(line))["kind"] == kind]


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except ValueError:
        return float("inf")  # cut off by a kill
