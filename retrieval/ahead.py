"""What questions to a large cohort will need, read while nobody waits for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from encoders.captions import load_lexicon
from retrieval.by_night import nights
from retrieval.candidates import prepare
from retrieval.night_numbers import load_numbers, night_numbers, stages_of
from retrieval.pooled import vectors_for
from retrieval.similar import prepare as prepare_likeness
from retrieval.similar_nights import whole

if TYPE_CHECKING:
    from retrieval.cohort import Cohort


def read_ahead(cohort: "Cohort") -> Iterator[str]:
    """Read and keep it, piece by piece; after each the piece's name, so that whoever reads may stop.

    A question asked meanwhile reads what it needs by itself.
    """
    snapshot, encoder, reader = cohort.snapshot.pinned(), cohort.encoder, cohort.reader
    nights(snapshot)
    snapshot.captions()
    yield "nights"
    for of, collection in ((encoder, "caption"), (reader, "signal")):
        if of:
            snapshot.search(of.space, collection, of.embed_texts(["sleep"]), 1)
            yield f"{collection} vectors"
    snapshot.arrays(["coalesce(n_artifact, 0) > 0"] if "n_artifact" in snapshot.columns() else [])
    for concept in load_lexicon().concepts.values():
        prepare(snapshot, concept, reader)
        yield concept.id
    night_numbers(snapshot, stages_of(snapshot, reader), [*load_numbers()])
    yield "numbers of nights"
    prepare_likeness(snapshot)
    yield "measures"
    whole(snapshot, vectors_for(encoder, reader), reader)
    yield "likeness of nights"
