"""The questions: a folder of recordings becomes a cohort, and a cohort answers."""

from encoders.errors import BadInput
from encoders.recordings.timeline import clock
from encoders.vocabulary import EPOCH_S, STAGES
from index import CohortProblem
from retrieval.cohort import Cohort
from retrieval.files import check, cores, explain_channels, simulate
from retrieval.hit import Answer, Hit
from retrieval.ingest import IngestReport, ingest
from retrieval.strips import Strip, Trace
from retrieval.truth import Asked, Truth

UserError = (BadInput, CohortProblem)

__all__ = [
    "EPOCH_S", "STAGES", "Answer", "Asked", "BadInput", "Cohort", "CohortProblem", "Hit", "IngestReport", "Strip",
    "Trace", "Truth", "UserError", "check", "clock", "cores", "explain_channels", "ingest", "simulate",
]  # fmt: skip
