"""What an epoch and a night say: measures, scored events, captions, the night's row, and the lexicon of questions."""

from encoders.captions.lexicon import BadLexicon, Concept, Lexicon, Match, Quantity, load_lexicon
from encoders.captions.links import EVENT_COLUMNS, event_table
from encoders.captions.measures import Measure, load_measures, measure_epochs
from encoders.captions.nights import Lights, choose_lights, load_nights, night_report
from encoders.captions.scored import by_kind, score_epochs, scored_columns
from encoders.captions.wording import PARTS, caption_epochs

__all__ = [
    "EVENT_COLUMNS", "PARTS", "BadLexicon", "Concept", "Lexicon", "Lights", "Match", "Measure", "Quantity", "by_kind",
    "caption_epochs", "choose_lights", "event_table", "load_lexicon", "load_measures", "load_nights", "measure_epochs",
    "night_report", "score_epochs", "scored_columns",
]  # fmt: skip
