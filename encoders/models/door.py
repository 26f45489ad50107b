"""The one door to torch's satellites: transformers today, open_clip when a model needs it.

PyPI's torchvision does not load beside a CPU build of torch ("operator torchvision::nms does not exist"), and
transformers and open_clip import it wherever it is installed. A sound installation is never touched: the import is
tried first, and only on that error are the two missing operators declared and the import repeated.
"""

import os
import sys
from types import ModuleType

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _mend_torchvision() -> None:
    import torch

    try:
        import torchvision
    except ImportError:
        return  # not installed: nobody asks for it
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", _NMS)
        import torchvision  # noqa: F401


def transformers_bert() -> ModuleType:
    """The module of transformers that holds BertModel, with the network switched off and its bars silenced."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    _mend_torchvision()
    from transformers.models.bert import modeling_bert
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    return modeling_bert
