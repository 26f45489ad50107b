"""The small words of a question, as patterns over lower-case text: who, what ties a number, what denies, what joins."""

import re

from retrieval.numbers import GOES, WORD

PEOPLE = (
    r"people|persons?|patients?|pts?|subjects?|adults?|individuals?|participants?|volunteers?|folks?|clients?|those|any(?:one|body)|some(?:one|body)|every(?:one|body)|sleepers?|child(?:ren)?|kids?|"
    r"teen(?:ager)?s?|adolescents?|infants?|bab(?:y|ies)|seniors?|elderly"
)
_WOMEN, _MEN = r"wom[ae]n|females?|lad(?:y|ies)|girls?", r"m[ae]n|males?|gentlem[ae]n|gents?|boys?"
PERSON = re.compile(
    rf"\b(?:(?P<any>(?:{_WOMEN})\s*(?:and|or|/|&)\s*(?:{_MEN})|(?:{_MEN})\s*(?:and|or|/|&)\s*(?:{_WOMEN})|{PEOPLE})"
    rf"|(?P<F>{_WOMEN})|(?P<M>{_MEN}))\b(?!-\w)(?:['’]s?(?!\w))?(?:\s+(?:{PEOPLE})\b)?"
)
AGED = re.compile(r"(?:[\s,(:]|\b(?:ages?|aged|who|are|is|was|were|of|the)\b)*")  # between people and their age
OLD = re.compile(
    rf"(?<![\w.,])(?P<a>\d{{1,3}}|{WORD})[-\s]*(?:(?:years?|yrs?|y)[-\s]*(?:olds?|of\s+age)|y[./]?o)\b\.?"
    rf"|\baged?\s*[:=]?\s*(?:of\s+)?(?P<b>\d{{1,3}}|{WORD})(?![\w%-]|[.,]\d|\s*(?:to|-|–)\s*\d)"
)
SHORTHAND = re.compile(
    r"(?<![\w.,-])(?P<years>[1-9]\d)\s?(?:y/?o?\s?)?(?P<sex>[FM])\b(?!-\w)"
)  # `72F`, in the user's capitals
JOINED = re.compile(r"\s*,?\s*(?:and|but|or)\s+(?:are\s+)?")  # `female and over 60`
OVERS = re.compile(  # `the over-65s`; not `apneas over 65s`
    r"(?:(?:\b(?:the|all|among)\s+)(?P<a>over|under)[-\s]?(?P<n>\d\d)|\b(?P<b>over|under)-(?P<k>\d\d)"
    r"|^(?P<c>over|under)\s(?P<o>\d\d)(?=['’]?s\s*(?:$|,|with\b|who\b|in\b)))['’]?s\b"
)
NOT_A_PERSON = re.compile(  # `minor problem`, `baby monitor`
    r"(?:minor|senior|adult|baby|kid|boy|girl)[-\s]+(?!(?:and|or|who|with|without|in|on|of|under|over|aged?|above|below|"
    rf"(?:{PEOPLE}|{_WOMEN}|{_MEN}|cohorts?|populations?|groups?|nights?|recordings?|epochs?|data|obese|snor\w+|sleep|rem|n[1-3]|"
    r"apn\w+|hypopn\w+|arousals?|supine)\b))[a-z]"
)
VAGUE_AGE = re.compile(rf"\b(?:young(?:er|est)?|old(?:er|est)?)\s+(?:{PEOPLE}|{_WOMEN}|{_MEN})\b")
_FOREIGN = (
    r"kgs?|kilos?|lbs?|pounds|stones?|cm|m|ft|feet|inch(?:es)?|mm\s?hg|mg|k?hz|hertz|cm\s?h2o|"
    r"days?|weeks?|months?|nights?"
)
FOREIGN = re.compile(rf"\s*(?:{_FOREIGN})\b")  # units of what no quantity here is
OTHER_UNIT = re.compile(rf"\s*(?:{_FOREIGN}|bmi|epochs?)\b")

_STATISTIC = (
    r"(?:(?P<mean>mean|averag(?:e[sd]?|ing)|avg\.?)|(?P<min>minim(?:um|al)|min\.?|lowest|nadirs?)|"
    r"(?P<max>maxim(?:um|al)|max\.?|highest|peak(?:s|ed|ing)?))"
)
STATISTIC = re.compile(rf"\b{_STATISTIC}(?!\w)")
STATISTIC_BEFORE = re.compile(rf"\b{_STATISTIC}\s+$")
# Between an owner and its number: `SpO2 falls to below 85`, `apneas that last over a minute`.
LINK = re.compile(
    r"(?:[\s=:,(\[–—-]|\b(?:is|was|are|were|be|been|being|each|of|a|an|the|at|with|that|which|whose|has|have|had|having|do(?:es)?|"
    rf"did|{GOES['<=']}|{GOES['>=']}|{re.sub('[?]P<[a-z]+>', '?:', _STATISTIC)}|"
    r"(?:stay|remain|last|sustain|persist|run|continu|div|tank|creep|hover|h[eo]ld|ke[ep]|ranging|desaturat|measur|record|drift|"
    r"maintain|sag|linger|settl|descend|tumbl|bottom|com(?=es?\b|ing)|estimat|observ|calculat)\w{0,4}|sit(?:s|ting)?|gets?|getting|got|"
    r"go(?:es|ing|ne)?(?:\s+on)?|went|(?:reach|hit|touch)(?:e?s|t?ing|ed)?|in\s+duration|in\s+length|out|found|seen|noted|(?:any|some)where|events?|episodes?|"
    r"briefly|transiently|suddenly|gradually|repeatedly|often|sometimes|temporarily|just|only|well|still|as|by|on\s+average|currently|"
    r"for|durations?|lengths?|long|values?|levels?|readings?|rates?|to|down|up|even|ever|always|consistently|aged?|"
    r"(?P<denied>not|never|nowhere|cannot|without|\w+n['’]t))\b)*"
)
NUMBER_AFTER = re.compile(rf"{LINK.pattern}(?P<n>{WORD})\b")
BACK_LINK = re.compile(
    r"(?:[\s-]|\b(?:of|in|the|an?|different|separate|distinct|scored|long|lasting)\b)*"
)  # `more than 2 of the arousals`
PER_HOUR = re.compile(r"\s*(?:/\s*|(?:per|an?|each|every)\s+)h(?:ou)?r?\b")
PER_TIME = re.compile(
    r"\s*(?:/|per\b|an?\s+(?:hour|minute|night)\b|every\b|each\b|in\s+(?:the|an?|one)\s+(?:hour|night)\b)"
)

WITHOUT = (  # of a thing that must not be there
    r"without|w/o|w/out|sans|minus|nil|zero|(?<![\w.,])0|free\s+(?:of|from)|(?:in\s+)?(?:the\s+)?absence\s+of|devoid\s+of|"
    r"lack(?:s|ed|ing)?(?:\s+(?:of|in))?"
)
_BUT = (  # of a thing that is taken out of the rest
    r"(?:exclud|omitt?|ignor|leav)(?:e|es|ing)?(?:\s+out)?|except(?:ing)?(?:\s+for)?|(?:other|rather)\s+than|instead\s+of|"
    r"(?:apart|aside)\s+from|outside(?:\s+of)?|(?:any|every)(?:thing|where)\s+but|"
    r"(?:all|any|every)\s+(?:\w+\s+)?(?:but|bar|save)(?:\s+for)?"
)
_NO = (
    rf"(?:{WITHOUT}|no|not|non|never|nowhere|nobody|no\s+one|neither|nor|none|cannot|{_BUT}|\w+n['’]t)"
    r"(?!\s+(?:only|just|necessarily|doubt|matter|sure|idea|problem|clue|thanks)\b)"
)
_ANY = (
    r"(?:no|any|an?|the|in|during|of|on|when|while|either|some|signs?|evidence|hints?|traces?|indications?|instances?|occurrences?|kinds?|scored|"
    r"clear(?:ly)?|obvious|visible|apparent|detect(?:able|ed)|further|other|associated|accompanying|has|have|having|see|seen|shows?|"
    r"showing|contain(?:s|ing)?|include|including|single|lying|sleeping|stage|epochs?|periods?|segments?|episodes?|events?|"
    r"(?:epochs?|periods?|segments?)\s+(?:with|where|in\s+which|that|which)|their|his|her)"
)
DENIED = re.compile(rf"(?:\b|(?=0))(?P<twice>{_NO}\s+)?{_NO}[-\s]+(?:with\s+)?(?:{_ANY}\s+)*$")
FREE_OF = re.compile(
    r"(?:[-\s]free|\s+(?:(?:is|are|was|were|being|to\s+be)\s+)?(?:absent|excluded|omitted|removed|left\s+out))\b(?!\s+(?:of|from))"
)  # `arousal-free`
# A denial with other words before the thing: `no long apneas` must not become `no apneas`, nor `apneas`.
LACKING = re.compile(rf"\s*(?:that\s+)?(?:is|are)?\s*(?:{WITHOUT})\s+(?:{_ANY}\s+)*")
HARDLY = re.compile(
    r"\b(?:hardly|barely|scarcely|rarely|seldom|unless|(?:almost|nearly|virtually|practically)\s+(?:no|never|without))\b[^,;.]{0,25}$"
)
DENIED_FAR = re.compile(rf"\b{_NO}\s+(?:(?!(?:in|during|with|and|or|but|while|when|at|for)\b)[\w'-]+\s+){{1,3}}$")
GOES_ON = re.compile(rf"[\s,]*(?P<how>or|nor|and|/|,|&)\s*(?:and\s+|or\s+)?(?:(?:not|without|{_ANY})\s+)*")

_PLACE = r"(?:(?:in|an?|the|during|on|with|either|at)\s+)*"
OR = re.compile(rf"\s*,?\s*(?:or|and/or|/)\s*{_PLACE}")
COMMA = re.compile(rf"\s*,\s*{_PLACE}")
ORDER = re.compile(
    r"\b(?:then|after|before|follow(?:s|ed|ing)|preced(?:es|ed|ing)|within|until|first|last|in\s+a\s+row|consecutive|afterwards|"
    r"(?:at|near|towards?)\s+the\s+(?:very\s+)?(?:beginning|start|end|onset)|(?:early|late)\s+in\s+the\s+night|"
    r"back[\s-]+to[\s-]+back|successive(?:ly)?|(?:second|third|fourth|fifth)\s+(?:sleep\s+|nrem-rem\s+)?cycle)\b"
)
VAGUE_TIME = re.compile(
    r"\b(?:(?:in\s+)?(?:the\s+)?(?:small|wee|early)\s+hours|(?:early|late)\s+(?:in\s+the\s+)?(?:morning|evening|at\s+night)|"
    r"(?:at|before|after|around|towards?|near|by)\s+(?:dawn|daybreak|sunrise|dusk|bedtime|morning)|middle\s+of\s+the\s+night|"
    r"(?:before|after|until|at)\s+lights[\s-]+(?:on|off|out)|(?:before|after|past|until|by|at|around)\s+[\w:.]+\s*o\W?clock)\b"
)
INCLUDE_BAD = re.compile(
    r",?\s*\b(?:and\s+)?(?:includ(?:e|es|ing)|even\s+(?:with|in|of)|regardless\s+of|whatever\s+the)\s+(?:epochs?\s+(?:of|with)\s+)?"
    r"(?:(?:bad|poor)(?:[\s-]+quality)?\s+(?:signals?|epochs?|quality)(?:\s+quality)?|artifacts?|artefacts?|(?:signal\s+)?quality)\b"
)
EPOCH_AFTER = re.compile(r"[-\s]+epochs?\b")
NOUN_AFTER = re.compile(  # `sleep study`, `sleep quality`: what follows makes it part of another thing's name
    r"[-\s]+(?!(?:with|without|except|excluding|other|rather|instead|apart|aside|outside|lacking|devoid|free|minus|sans|absent|excluded|in|during|at|on|and|or|after|before|when|where|while|that|which|from|of|for|by|to|under|over|"
    r"above|below|but|not|no|epochs?|stages?|only|then|is|has)\b)[a-z]"
)

JOINS = (
    r"with|and|or|but|in|of|at(?!\s+(?:least|most))|for|on|by|when|where|while|who|whose|which|that|has|have|having|had|is|are|was|were|"
    r"during|from"
)
FILLER = re.compile(rf"\b(?:{JOINS}|the|an?|epochs?|any|all|show|me|find|give|list|nights?|time|{PEOPLE})\b")
