"""ReCoCa: a signal tower, a text tower, a caption decoder and a reconstruction head in one space (SleepLM's family)."""

from encoders.models.recoca.config import ReCoCaConfig
from encoders.models.recoca.generate import Decoding, generate
from encoders.models.recoca.model import ReCoCa

__all__ = ["Decoding", "ReCoCa", "ReCoCaConfig", "generate"]
