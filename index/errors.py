"""What can be wrong with a cohort on disk or with a question put to it: one line each, with the next step."""


class CohortProblem(ValueError):
    """Anything below; its text is the one line that a user reads."""


class NotACohort(CohortProblem):
    """The folder holds no published snapshot."""


class DamagedCohort(CohortProblem):
    """A published snapshot is not whole: a missing manifest, a truncated segment, ids that do not match."""


class WrongSchema(CohortProblem):
    """The cohort was written under a newer schema, or is to be written and has an older one."""


class CohortLocked(CohortProblem):
    """Another writer has the cohort; the text names its process."""


class CatalogConflict(CohortProblem):
    """A table handed to the writer contradicts the catalog or itself."""


class BadVectors(CohortProblem):
    """Vectors or queries of the wrong shape, or not finite."""


class UnknownSpace(CohortProblem):
    """No vectors under this space or collection."""


class InvalidFilter(CohortProblem):
    """A user's filter is not one harmless expression over the view `epochs`, or ran out of its limits."""


class EngineUnavailable(CohortProblem):
    """The engine asked for can't run on this machine."""


class FaissMissing(EngineUnavailable):
    """FAISS is in neither extra by default; the text says which to add."""


class DamagedLabels(CohortProblem):
    """The labels log holds an entry of a newer version."""
