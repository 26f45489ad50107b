"""Where vectors and their tables live: a DuckDB catalog and FAISS engines in immutable snapshots."""

from index.errors import (
    BadVectors,
    CatalogConflict,
    CohortLocked,
    CohortProblem,
    DamagedCohort,
    DamagedLabels,
    EngineUnavailable,
    FaissMissing,
    InvalidFilter,
    NotACohort,
    UnknownSpace,
    WrongSchema,
)
from index.labels import Labels
from index.ranking import in_parts
from index.snapshot import SearchResult, Snapshot
from index.writer import Writer

__all__ = [
    "BadVectors",
    "CatalogConflict",
    "CohortLocked",
    "CohortProblem",
    "DamagedCohort",
    "DamagedLabels",
    "EngineUnavailable",
    "FaissMissing",
    "InvalidFilter",
    "Labels",
    "NotACohort",
    "SearchResult",
    "Snapshot",
    "UnknownSpace",
    "Writer",
    "WrongSchema",
    "in_parts",
]
