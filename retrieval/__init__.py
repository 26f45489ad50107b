"""The questions: a folder of recordings becomes a cohort, and a cohort answers."""

from importlib import import_module
from typing import TYPE_CHECKING

from encoders.errors import BadInput
from encoders.recordings.timeline import clock
from encoders.vocabulary import EPOCH_S, STAGES
from index import CohortProblem, InvalidFilter
from retrieval.alike import Alignment
from retrieval.cohort import Cohort
from retrieval.files import check, cores, explain_channels, simulate
from retrieval.hit import Answer, Hit
from retrieval.ingest import IngestReport, ingest
from retrieval.similar_nights import AlikeNights
from retrieval.strips import Strip, Trace
from retrieval.truth import Asked, Truth

if TYPE_CHECKING:
    from retrieval.classify import Classification
    from retrieval.duplicates import Duplicates
    from retrieval.evaluation import Evaluation
    from retrieval.exports import ExportReport
    from retrieval.fewshot import FewShot
    from retrieval.labelling import Label
    from retrieval.localise import Located
    from retrieval.probe import Probe

UserError = (BadInput, CohortProblem)

# Results of verbs that most processes never call: their modules are a seventh of what `import retrieval` would cost.
_LATER = {
    "Classification": "classify", "Duplicates": "duplicates", "Evaluation": "evaluation", "ExportReport": "exports",
    "FewShot": "fewshot", "Label": "labelling", "Located": "localise", "Probe": "probe",
}  # fmt: skip

__all__ = [
    "EPOCH_S", "STAGES", "Alignment", "AlikeNights", "Answer", "Asked", "BadInput", "Classification", "Cohort",
    "CohortProblem", "Duplicates", "Evaluation", "ExportReport", "FewShot", "Hit", "IngestReport", "InvalidFilter",
    "Label", "Located", "Probe", "Strip", "Trace", "Truth", "UserError", "check", "clock", "cores", "explain_channels",
    "ingest", "simulate",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
