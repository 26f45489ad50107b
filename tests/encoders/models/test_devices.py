"""Device and dtype are chosen by what is there, and said."""

import pytest
import torch

from encoders.errors import BadInput
from encoders.models.devices import CPU_BUDGET_BYTES, batch_size, place


def test_the_choice_says_why() -> None:
    found = place("cpu", "auto")
    assert found.device.type == "cpu" and str(found).startswith("cpu, ")
    assert found.dtype == (torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32)
    assert "asked for" in str(place("cpu", "float32"))


def test_what_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(BadInput, match="possible are auto"):
        place("cpu", "float8")
    with pytest.raises(BadInput, match="say auto or cpu"):
        place("cuda:99")


def test_batches_fit_the_budget() -> None:
    here = place("cpu", "float32")
    assert batch_size(here, CPU_BUDGET_BYTES // 7) == 7
    assert batch_size(here, 10 * CPU_BUDGET_BYTES) == 1 and batch_size(here, 1) == 512
