"""An export of ours, read again: the file itself says who scored, by which rules and what was looked for.

Without that the stages of a program would come back as a person's, and a kind in which nothing was found as one that
nobody scored. An export is only read where no other file speaks for its scorer: beside the original it adds nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from encoders.recordings.annotations.sheet import Sheet
from encoders.vocabulary import KINDS

# Texts that begin so are of an export: its statement, hits and people's labels; table.toml has readers pass them over.
MARK: Final = "sleepsearch"


def statement(scorer: str, rules: str, scope: Sequence[str]) -> dict[str, str]:
    """What an export of one scorer's stages and events says of itself; `claim` understands it."""
    return {"scorer": scorer, "rules": rules, "scope": ", ".join(kind for kind in KINDS if kind in scope)}


def stated(texts: Sequence[str]) -> dict[str, str]:
    """The statement among texts of the form `sleepsearch key: value`; empty for a file that is not ours."""
    found = (text.removeprefix(f"{MARK} ").partition(": ") for text in texts if text.startswith(f"{MARK} "))
    return {key: value.strip() for key, colon, value in found if colon and " " not in key}


def claim(sheet: Sheet, said: Mapping[str, str]) -> bool:
    """Have a sheet follow the statement of its file; False for an export without stages and events, which is none."""
    if not said:
        return True
    sheet.exported = True
    sheet.zero = "recording"
    sheet.scorer = said.get("scorer") or sheet.scorer
    sheet.rules = said.get("rules", "")
    kinds = {kind.strip() for kind in said.get("scope", "").split(",")}
    sheet.scope = {kind: "declared in the file" for kind in KINDS if kind in kinds}
    return "scorer" in said
