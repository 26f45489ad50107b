"""The only door to open_clip: it needs an extra, and a torchvision that loads beside a CPU torch."""

import sys
from functools import cache
from types import ModuleType

from encoders.errors import BadInput

_OPERATOR = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def open_clip() -> ModuleType:
    """The module `open_clip` of open_clip_torch; `BadInput` with the install command where it is not there.

    torchvision's wheel fails to load beside a CPU build of torch because two operators are not declared there, and
    open_clip imports it. Where that happens the two are declared (nothing here calls them) and it is imported again.
    """
    try:
        _mend_torchvision()
        import open_clip
    except ImportError as missing:
        raise BadInput(
            f"SleepLM needs open_clip_torch ({missing}); install it with: pip install 'sleepsearch[sleeplm]'"
        ) from missing
    if not hasattr(open_clip, "CoCaLoss"):
        raise BadInput(
            f"the package open_clip at {open_clip.__file__} is not open_clip_torch (SleepLM's repository uses "
            "the same name); take it off the path, then: pip install 'sleepsearch[sleeplm]'"
        )
    found: ModuleType = open_clip
    return found


def _mend_torchvision() -> None:
    import torch

    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        import torchvision  # noqa: F401
