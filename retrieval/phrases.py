"""The small words of a question, as patterns over lower-case text: who, what ties a number, what denies, what joins."""

import re

PEOPLE = r"people|persons?|patients?|subjects?|adults?|individuals?|participants?|sleepers?|children|kids|teenagers"
_WOMEN, _MEN = r"wom[ae]n|females?|ladies", r"m[ae]n|males?|gentlemen"
PERSON = re.compile(
    rf"\b(?:(?P<any>(?:{_WOMEN})\s*(?:and|or|/|&)\s*(?:{_MEN})|(?:{_MEN})\s*(?:and|or|/|&)\s*(?:{_WOMEN})|{PEOPLE})"
    rf"|(?P<F>{_WOMEN})|(?P<M>{_MEN}))\b(?!-\w)(?:['’]s?(?!\w))?(?:\s+(?:{PEOPLE})\b)?"
)
AGED = re.compile(r"(?:[\s,(]|\b(?:aged?|who|are|is|of|the)\b)*")  # between people and their age
OLD = re.compile(
    r"(?<![\w.,])(?P<a>\d{1,3})[-\s]*(?:(?:years?|yrs?)[-\s]*olds?|y/?o)\b"
    r"|\baged?\s+(?:of\s+)?(?P<b>\d{1,3})(?![\w.,%-]|\s*(?:to|-)\s*\d)"
)
OTHER_UNIT = re.compile(r"\s*(?:kg|lbs?|pounds|cm|mm\s?hg|bmi|mg|days?|weeks?|months?|nights?|epochs?)\b")

# Between an owner and its number: `SpO2 falls to below 85`, `apneas that last over a minute`.
LINK = re.compile(
    r"(?:[\s=:,(]|\b(?:is|was|are|were|be|been|each|of|a|an|the|at|with|that|which|has|have|had|having|do(?:es)?|did|falls?|falling|"
    r"fell|fallen|drops?|dropp(?:ed|ing)|dips?|dipp(?:ed|ing)|goes|going|went|gets?|getting|rises?|rising|rose|stays?|staying|"
    r"remains?|last(?:s|ed|ing)?|for|durations?|lengths?|long|values?|levels?|readings?|to|down|up|even|ever|always|aged?|"
    r"(?P<denied>not|never|\w+n['’]?t))\b)*"
)
BACK_LINK = re.compile(
    r"\s*(?:(?:of|in|the|an?|different|separate|distinct|scored)\s+)*"
)  # `more than 2 of the arousals`
STATISTIC = re.compile(
    r"\b(?:(?P<mean>mean|average)|(?P<min>minim(?:um|al)|lowest)|(?P<max>maxim(?:um|al)|highest|peak))\s+$"
)
PER_TIME = re.compile(
    r"\s*(?:/|per\b|an?\s+(?:hour|minute|night)\b|every\b|each\b|in\s+(?:the|an?|one)\s+(?:hour|night)\b)"
)

_NO = (
    r"(?:without|no|not|non|never|neither|nor|free\s+(?:of|from)|(?:in\s+)?(?:the\s+)?absence\s+of|lack(?:s|ing)?(?:\s+of)?|"
    r"exclud(?:e|es|ing)|except(?:\s+for)?|other\s+than|devoid\s+of|(?:any|every)(?:thing|where)\s+but|all\s+but|\w+n['’]t)(?!\s+(?:only|just|necessarily|doubt|matter|sure)\b)"
)
_ANY = (
    r"(?:no|any|an?|the|in|during|of|on|some|signs?|evidence|scored|clear(?:ly)?|obvious|visible|apparent|further|other|"
    r"associated|accompanying|has|have|having|shows?|showing|contain(?:s|ing)?|include|including|single|lying|sleeping|stage)"
)
DENIED = re.compile(rf"\b(?P<twice>{_NO}\s+)?{_NO}[-\s]+(?:with\s+)?(?:{_ANY}\s+)*$")
FREE_OF = re.compile(r"(?:[-\s]free|\s+(?:(?:is|are|was|were)\s+)?absent)\b(?!\s+(?:of|from))")  # `arousal-free`
# A denial with other words before the thing: `no long apneas` must not become `no apneas`, nor `apneas`.
DENIED_FAR = re.compile(rf"\b{_NO}\s+(?:(?!(?:in|during|with|and|or|but|while|when|at|for)\b)[\w'-]+\s+){{1,3}}$")
GOES_ON = re.compile(rf"[\s,]*(?P<how>or|nor|and|/|,|&)\s*(?:and\s+|or\s+)?(?:(?:not|without|{_ANY})\s+)*")

_PLACE = r"(?:(?:in|an?|the|during|on|with|either|at)\s+)*"
OR = re.compile(rf"\s*,?\s*(?:or|and/or|/)\s*{_PLACE}")
COMMA = re.compile(rf"\s*,\s*{_PLACE}")
ORDER = re.compile(
    r"\b(?:then|after|before|follow(?:s|ed|ing)|preced(?:es|ed|ing)|within|until|first|last|in\s+a\s+row|consecutive|afterwards|"
    r"(?:at|near|towards?)\s+the\s+(?:very\s+)?(?:beginning|start|end|onset)|(?:early|late)\s+in\s+the\s+night)\b"
)
INCLUDE_BAD = re.compile(
    r",?\s*\b(?:and\s+)?(?:includ(?:e|es|ing)|even\s+(?:with|in|of)|regardless\s+of|whatever\s+the)\s+(?:epochs?\s+(?:of|with)\s+)?"
    r"(?:(?:bad|poor)(?:[\s-]+quality)?\s+(?:signals?|epochs?|quality)(?:\s+quality)?|artifacts?|artefacts?|(?:signal\s+)?quality)\b"
)
EPOCH_AFTER = re.compile(r"[-\s]+epochs?\b")
NOUN_AFTER = re.compile(  # `sleep study`, `sleep quality`: what follows makes it part of another thing's name
    r"[-\s]+(?!(?:with|without|in|during|at|on|and|or|after|before|when|where|while|that|which|from|of|for|by|to|under|over|"
    r"above|below|but|not|no|epochs?|stages?|only|then|is|has)\b)[a-z]"
)

JOINS = (
    r"with|and|or|but|in|of|at(?!\s+(?:least|most))|for|on|by|when|where|while|who|whose|which|that|has|have|having|had|is|are|was|were|"
    r"during|from"
)
FILLER = re.compile(rf"\b(?:{JOINS}|the|an?|epochs?|any|all|show|me|find|give|list|nights?|time|{PEOPLE})\b")
