"""How much captions and signals weigh beside facts: scripts/fit_fusion.py --cohorts SCORED BARE --truth DIR

Asks both cohorts every tuning question (never a held one) under each pair of weights and prints precision@10, its mean
over the kinds of question, and by cohort. The best pair of the mean over both is what `retrieval.search.WEIGHTS` holds.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from questions.nights import read_nights
from questions.rivals import searching
from questions.rules import Rules
from questions.sets import KINDS, UNANSWERABLE, questions
from questions.verdict import held_against

from retrieval import Cohort, search

CAPTION, SIGNALS = (0.25, 0.5, 1.0), (0.5, 1.0, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=Path, nargs=2, metavar=("SCORED", "BARE"), required=True)
    parser.add_argument("--truth", type=Path, required=True, help="their nights' folder, with the truth tables")
    args = parser.parse_args()
    rules, cohorts = Rules(read_nights(args.truth)), [Cohort(root) for root in args.cohorts]
    found = {}
    for caption, signals in product(CAPTION, SIGNALS):
        search.WEIGHTS = search.Weights(caption, signals)
        found[caption, signals] = figures = [mean_precision(cohort, rules) for cohort in cohorts]
        said = f"captions {caption:g}, signals {signals:g}: {np.mean(figures):.4f}"
        print(f"{said} (scored {figures[0]:.4f}, signals only {figures[1]:.4f})", flush=True)
    best = max(found, key=lambda pair: float(np.mean(found[pair])))
    print(f"best: captions {best[0]:g}, signals {best[1]:g}")


def mean_precision(cohort: Cohort, rules: Rules) -> float:
    """precision@10 over the tuning questions for stretches that something answers, averaged within kinds, then over."""
    answer, by_kind = searching(cohort), {}
    for question in questions("tuning"):
        relevant = rules.relevant(question.relevant)
        if question.kind in UNANSWERABLE or question.kind == "night":
            continue
        asked = held_against(rules, question, relevant, answer(question.ask, False))
        if asked.base_rate:
            by_kind.setdefault(question.kind, []).append(asked.precision)
    return float(np.mean([np.mean(by_kind[kind]) for kind in KINDS if kind in by_kind]))


if __name__ == "__main__":
    main()
