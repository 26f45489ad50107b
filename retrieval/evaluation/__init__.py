"""How well an encoder does on a cohort's labels, beside chance and simpler ways."""

from retrieval.evaluation.card import model_card
from retrieval.evaluation.evaluate import TASKS, Evaluation, evaluate
from retrieval.evaluation.report import write_report

__all__ = ["TASKS", "Evaluation", "evaluate", "model_card", "write_report"]
