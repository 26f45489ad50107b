"""The model card of released weights: what the encoder is, what it was trained on, what it reached, and its limits."""

from retrieval.evaluation.evaluate import SEEN, Evaluation
from retrieval.evaluation.headline import Row, headline, load_words, named, number, past, rows, said
from retrieval.evaluation.report import about, simulated


def model_card(evaluation: Evaluation) -> str:
    """The card in Markdown: figures with intervals, base rates, baselines; what was seen in training stands apart."""
    facts = evaluation.cohort
    what = (
        f"It turns 30-second epochs of sleep recordings, and sentences about them, into vectors of one space. It reads "
        f"any subset of these sensors: {', '.join(evaluation.channels)}."
        if evaluation.channels
        else "It turns sentences into vectors and reads no signals."
    )
    scored = "; ".join(f"{kind} in {count} of {facts['nights']} nights" for kind, count in facts["scored"].items())
    lines = [
        f"# {evaluation.encoder}", "", what, "", f"- space: `{evaluation.space}`",
        f"- trained on: {past(evaluation.trained_on)}",
        f"- runs on: {evaluation.runs_on}", f"- made with: sleepsearch {evaluation.code}", "",
        "## Evaluated on", "", _cohort(evaluation) + about(evaluation), "",
        f"- sites: {', '.join(facts['sites']) or 'not known'}", f"- scored: {scored}",
        *(f"- {note}" for note in evaluation.notes), "",
        "Brackets hold 95 % intervals over subjects. The base rate is how common a thing is, or what guessing gives.",
        "",
        "## In short", "", *_table(headline(evaluation)), "",
    ]  # fmt: skip
    for task, words in load_words()["task"].items():
        found = [row for row in rows(evaluation, task=task) if row.own]
        if found and task != "subsets":
            lines += [f"## {words['title']}", "", words["says"], "", *_table(found), ""]
    lines += _by_subset(evaluation)
    if seen := rows(evaluation, subset=SEEN):
        lines += ["## Seen in training", "", "What it remembers, not what it can do; in none of the figures above.", "",
                  *_table(seen), ""]  # fmt: skip
    left = dict.fromkeys(
        f"{f.task}, {named(f.measure)} ({f.method}): {f.note}" for f in evaluation.figures if f.value is None
    )
    limits = [*evaluation.caveats, *left]
    lines += ["## Limits", "", *(f"- {line}" for line in limits or ["none noted"]), "",
              "Research software; no medical device. A score ranks, and is no probability.", ""]  # fmt: skip
    return "\n".join(lines)


def _cohort(evaluation: Evaluation) -> str:
    mark = simulated(evaluation)
    return f"**{mark.capitalize()}: no person slept them.** " if mark else ""


def _table(several: list[Row]) -> list[str]:
    """Measures down; the encoder's own in one column, what it is held against in another."""
    lines = ["| measure | encoder | held against | base rate | n | subjects |", "|---|---|---|---|---|---|"]
    for row in several:
        own = "; ".join(f"{said(f)}" if len(row.own) == 1 else f"{f.method} {said(f)}" for f in row.own) or "–"
        others = "; ".join(f"{f.method} {said(f)}" for f in row.baselines) or "–"
        base = number(row.base_rate) if row.base_rate is not None else "–"
        first = row.figures[0]
        lines.append(f"| {named(row.measure)} | {own} | {others} | {base} | {first.n:,} | {first.subjects} |")
    return lines


def _by_subset(evaluation: Evaluation) -> list[str]:
    found = [f for f in evaluation.figures if f.task == "subsets" and f.value is not None]
    if not found:
        return []
    words = load_words()["task"]["subsets"]
    head = "| sensors | measure | method | value | base rate | n | subjects |"
    lines = [f"## {words['title']}", "", words["says"], "", head, "|---|---|---|---|---|---|---|"]
    for f in found:
        base = number(f.base_rate) if f.base_rate is not None else "–"
        lines.append(f"| {f.subset} | {named(f.measure)} | {f.method} | {said(f)} | {base} | {f.n:,} | {f.subjects} |")
    return [*lines, ""]
