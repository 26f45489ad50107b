"""Are the held questions answered, of scored nights and of signals alone?   scripts/judge_questions.py --work DIR

Simulates nights of several sites, ingests them twice, as scored and as bare EDF files, and asks both every question of
questions/held.toml. precision@10 by kind of question stands beside the base rate, BM25 on captions, captions alone,
signals alone, and the search without signal vectors. What is there already is kept, so that the same call goes on.
Held questions are reported by kind alone; --set tuning may be looked at one by one (--each).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from questions.bare import strip
from questions.grammar import reading_errors
from questions.nights import read_nights
from questions.rivals import Plain, searching
from questions.rules import Rules
from questions.sets import KINDS, UNANSWERABLE, Question, frozen, phrases, questions
from questions.verdict import Asked, Line, held_against, lines, worth
from rich.console import Console
from rich.table import Table

from encoders.errors import BadInput
from encoders.models import TEXT_ENCODER
from encoders.simulation import simulate
from retrieval import Cohort, ingest

SEED = 60_606  # the subjects that encoders were trained, chosen and tested on have seeds that end in 1, 2 and 3
SITES = "shhs-like,clinic,mros-like,ccshs-like,isruc-like,hmc-like"
COLUMNS = ("scored", "signals only")
FULL, LESS = "search", "without signals"
ALL = "all that can be answered"
ERRORS = Console(stderr=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder of nights, cohorts and report; what stands in it is used")
    parser.add_argument("--cohorts", type=Path, nargs=2, metavar=("SCORED", "BARE"), help="two cohorts that are there")
    parser.add_argument("--truth", type=Path, help="their nights' folder, with the truth tables")
    parser.add_argument("--nights", type=int, default=24)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sites", default=SITES, help="separated by commas")
    parser.add_argument("--encoder", help="that reads signals; default: that of `sleepsearch ingest`")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--set", choices=("held", "tuning"), default="held", dest="which")
    parser.add_argument("--each", action="store_true", help="print every question of the tuning set")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="keep the report there as JSON")
    args = parser.parse_args()
    if args.each and args.which == "held":
        parser.error("--each is for --set tuning; held questions are reported by kind alone")
    if bool(args.cohorts) != bool(args.truth) or bool(args.cohorts) == bool(args.work):
        parser.error("give --work DIR, or both --cohorts SCORED BARE and --truth DIR")
    try:
        report = judge(args)
    except BadInput as wrong:
        sys.exit(f"judge_questions: {wrong}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same call goes on from there")
    text = json.dumps(report, indent=1)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    if args.json:
        print(text)
    else:
        show(report, Console(width=150))


def judge(args: argparse.Namespace) -> dict[str, Any]:
    """The report as plain values: by column the lines of every answerer, and the grammar's errors."""
    cohorts, truth = (args.cohorts, args.truth) if args.cohorts else prepare(args)
    rules = Rules(read_nights(truth))
    asked_of = questions(args.which)
    columns, each = {}, {}
    for column, root in zip(COLUMNS, cohorts, strict=True):
        asked = ask(column, Path(root), rules, asked_of)
        columns[column] = {
            "lines": [line.to_json() for name, of in asked.items() for line in lines(name, of)],
            "signals_worth": [worth(kind, asked[FULL], asked[LESS]) for kind in (*KINDS, ALL)
                              if LESS in asked and kind not in UNANSWERABLE],
        }  # fmt: skip
        each[column] = [
            {"kind": a.question.kind, "ask": a.question.ask, "returned": a.returned, "right": a.right,
             "base_rate": a.base_rate} for a in asked[FULL]
        ]  # fmt: skip
    return {
        "set": args.which, "questions": len(asked_of), "nights": len(rules.nights),
        "frozen": all(was == now for was, now in frozen().values()), "columns": columns,
        "grammar": reading_errors(phrases()),
    } | ({"each": each} if args.each else {})  # fmt: skip


def prepare(args: argparse.Namespace) -> tuple[list[Path], Path]:
    """The two cohorts and the folder of nights under `--work`, made where they are not there yet."""
    nights, bare = args.work / "nights", args.work / "bare"
    sites = args.sites.split(",")
    ERRORS.print(f"nights: {args.nights} of {args.hours:g} h from {', '.join(sites)}, seed {args.seed}")
    made = simulate(nights, nights=args.nights, seed=args.seed, sites=sites, hours=args.hours,
                    progress=lambda done, of: ERRORS.print(f"simulated {done} of {of}", end="\r"))  # fmt: skip
    bare.mkdir(parents=True, exist_ok=True)
    for night in made:
        strip(night.edf, bare)
    roots = [args.work / "scored-cohort", args.work / "bare-cohort"]
    for root, folder in zip(roots, (nights, bare), strict=True):
        ERRORS.print(f"ingest: {root.name}")
        done = ingest([folder], root, encoder=args.encoder, subjects=nights / "subjects.csv", workers=args.workers)
        for failure in done.failed:
            ERRORS.print(f"failed: {failure['path']}: {failure['error']}")
    return roots, nights


def ask(column: str, root: Path, rules: Rules, asked_of: Sequence[Question]) -> dict[str, list[Asked]]:
    """Every question put to every answerer of one cohort, by the answerer's name."""
    cohort = Cohort(root)
    answerers = {FULL: searching(cohort)}
    if cohort.reader is not None:
        answerers[LESS] = searching(Cohort(root, encoder=TEXT_ENCODER))
    answerers |= Plain(cohort).answerers()
    found: dict[str, list[Asked]] = {name: [] for name in answerers}
    for number, question in enumerate(asked_of):
        if not number or question.kind != asked_of[number - 1].kind:  # a line a kind: logs have no moving bar
            ERRORS.print(f"asking {column}: {question.kind}, {number} of {len(asked_of)} done")
        relevant = rules.relevant(question.relevant)
        for name, answer in answerers.items():
            hits = answer(question.ask, question.kind == "night")
            found[name].append(held_against(rules, question, relevant, hits))
    return found


def show(report: dict[str, Any], console: Console) -> None:
    """The report as tables."""
    for column, of in report["columns"].items():
        of_kind: dict[str, dict[str, Line]] = {}
        for line in of["lines"]:
            of_kind.setdefault(line["kind"], {})[line["answerer"]] = Line(**line)
        names = list(dict.fromkeys(line["answerer"] for line in of["lines"]))
        table = Table(title=f"{report['set']} questions, {report['nights']} nights, {column}: precision@10")
        for head in ("kind", "n", "none", "base", FULL, "95 %", "answered", "then", "epochs", "hits", *names[1:]):
            table.add_column(head, justify="left" if head == "kind" else "right", no_wrap=True)
        for kind, row in of_kind.items():
            if full := row[FULL]:
                value = full.silent if kind in UNANSWERABLE else full.precision
                others = [row[n].silent if kind in UNANSWERABLE else row[n].precision for n in names[1:]]
                name = f"{kind} (silent)" if kind in UNANSWERABLE else kind
                table.add_row(
                    name, str(full.n), str(full.without), _figure(full.base_rate), _figure(value),
                    f"{_figure(full.low)}-{_figure(full.high)}", _figure(full.answered), _figure(full.when_answered),
                    _figure(full.epochs), f"{full.hits:.1f}", *map(_figure, others),
                )  # fmt: skip
        console.print(table)
        for lost in of["signals_worth"][-1:]:
            console.print(
                f"signal vectors are worth {_figure(lost['loss'])} [{_figure(lost['low'])}, {_figure(lost['high'])}]"
            )
    grammar = report["grammar"]
    groups = ", ".join(f"{k} {v['errors']}/{v['phrases']}" for k, v in grammar["groups"].items())
    share = f"{grammar['errors']} of {grammar['phrases']} phrases read otherwise ({grammar['share']:.1%})"
    console.print(f"grammar: {share}; {groups}")
    for column, rows in report.get("each", {}).items():
        for row in rows:
            console.print(f"{column}: {row['kind']}: {row['ask']!r}: {row['right']} of {row['returned']} right, "
                          f"base {row['base_rate']:.3f}")  # fmt: skip
    if not report["frozen"]:
        console.print("[red]the held questions or the phrases are not those that were frozen[/red]")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


if __name__ == "__main__":
    main()
