"""Keep names and dates out of recording ids: a file's stem that shows one becomes a keyed hash.

A stem is taken to show a person when it holds
- a calendar date with year, month and day (a birth date, or the night's own: 1970-01-02, 02.01.1970, 20241017);
- a capitalised word next to a year of birth (Smith1961), or a comma between words (Smith, John);
- two words in a row written as names (Smith_John, DUPONT Marie), or nothing but two to four words (anna_berg).
Words of the trade (night, control, PSG, SC, ...) are not names. One word alone is not taken for a name: nobody could
tell Baseline from Martin; a cohort that names its files so should hash them before they come here.
"""

import re
import tomllib
from hashlib import blake2b
from pathlib import Path
from typing import Final

_YEAR: Final = r"(?:18|19|20)\d\d"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12]\d|3[01])"
_DATE: Final = re.compile(
    rf"(?<!\d)(?:{_YEAR}([-_. ]?){_MONTH}\1{_DAY}|{_DAY}([-_. ]?){_MONTH}\2{_YEAR}"
    rf"|{_MONTH}([-_. ]){_DAY}\3{_YEAR})(?!\d)"
)
_BORN: Final = re.compile(rf"(?<![^\W\d_])([^\W\d_]{{3,}})[-_. ]?{_YEAR}(?!\d)")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_TRADE: Final = frozenset(
    tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["words"].split()
)


def shows_person(stem: str) -> bool:
    """Whether a stem looks like it holds a person's name or a date; rules in the module's text."""
    if _DATE.search(stem) or ("," in stem and len(_names(stem)) >= 2):
        return True
    born = _BORN.search(stem)
    if born and born[1][0].isupper() and born[1].casefold() not in _TRADE:
        return True
    previous = False
    for part in re.split(r"[-_. ]+", stem):
        written = bool(_WORD.fullmatch(part)) and _is_name(part) and (part.istitle() or part.isupper())
        if written and previous:
            return True
        previous = written
    words = re.split(r"[-_. ]+", stem)
    return 2 <= len(words) <= 4 and len(_names(stem)) == len(words)


def _is_name(word: str) -> bool:
    return len(word) >= 3 and word.casefold() not in _TRADE


def _names(stem: str) -> list[str]:
    return [part for part in re.split(r"[-_., ]+", stem) if _WORD.fullmatch(part) and _is_name(part)]


def hashed(text: str, key: bytes) -> str:
    """`id-` and ten hex digits of a keyed BLAKE2 hash: the same for one key, of no use without it."""
    return "id-" + blake2b(text.encode(), key=key[:64], digest_size=5).hexdigest()


def private_id(stem: str, key: bytes) -> tuple[str, bool]:
    """A stem as it is, or hashed when it shows a person; and whether it was hashed."""
    return (hashed(stem, key), True) if shows_person(stem) else (stem, False)
