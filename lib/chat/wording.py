"""The same question in plainer words: abbreviations, slang and set phrases made what the grammar knows."""

from __future__ import annotations

import re

from lib.chat.carriers import CARRIERS
from lib.chat.phrases.everyday import EVERYDAY
from lib.chat.phrases.statistics import STATISTICS
from lib.chat.phrases.subjects import SUBJECTS

# Between these a word stands alone: never inside a name, a path, a selector or a label.
_BEFORE, _AFTER = r"(?<![\w./:=*{\"'-])", r"(?![\w/:=*-]|\.\w)"

_WORDS = {
    "y'day": "yesterday",
    "y/day": "yesterday",
    "yday": "yesterday",
    "ystd": "yesterday",
    "ystrday": "yesterday",
    "yest": "yesterday",
    "yesterdays": "yesterday",
    "2day": "today",
    "tdy": "today",
    "tmrw": "tomorrow",
    "tmr": "tomorrow",
    "tomo": "tomorrow",
    "2moro": "tomorrow",
    "nite": "night",
    "wk": "week",
    "wks": "weeks",
    "wkend": "weekend",
    "hr": "hour",
    "mth": "month",
    "mths": "months",
    "fortnight": "14 days",
    "prev": "previous",
    "pls": "please",
    "plz": "please",
    "plse": "please",
    "ty": "thanks",
    "tia": "thanks",
    "thks": "thanks",
    "u": "you",
    "r": "are",
    "ur": "your",
    "ya": "you",
    "whats": "what is",
    "wats": "what is",
    "wat": "what",
    "wot": "what",
    "wich": "which",
    "whos": "who is",
    "hows": "how is",
    "whens": "when is",
    "wheres": "where is",
    "gimme": "give me",
    "lemme": "let me",
    "gonna": "going to",
    "wanna": "want to",
    "n": "and",
    "&": "and",
    "w/": "with",
    "w/o": "without",
    "b/w": "between",
    "btw": "by the way",
    "b4": "before",
    "nr": "number",
    "num": "number",
    "avgs": "averages",
    "ave": "average",
    "av": "average",
    "util": "utilization",
    "utilisation": "utilization",
    "proc": "processor",
    "mem": "memory",
    "resp": "response",
    "req": "requests",
    "reqs": "requests",
    "req/s": "requests per second",
    "reqs/s": "requests per second",
    "q/s": "queries per second",
    "lat": "latency",
    "svr": "server",
    "svrs": "servers",
    "srv": "server",
    "srvs": "servers",
    "hdd": "disk",
    "ssd": "disk",
    "fs": "filesystem",
    "anom": "anomaly",
    "anoms": "anomalies",
    "fcast": "forecast",
    "perc": "percent",
    "approx": "about",
    "info": "details",
    "stddev": "standard deviation",
    "corr": "correlation",
    "atm": "at the moment",
    "rn": "right now",
    "ystdy": "yesterday",
    "ystday": "yesterday",
    "yesty": "yesterday",
    "2moz": "tomorrow",
    "tonite": "tonight",
    "2nite": "tonight",
    "avrg": "average",
    "mx": "max",
    "mn": "min",
    "pct": "percent",
    "pctile": "percentile",
    "bw": "bandwidth",
    "tput": "throughput",
    "errs": "errors",
    "diff": "difference",
    "eta": "when will",
    "err": "error",
    "teh": "the",
    "hte": "the",
    "waht": "what",
    "whta": "what",
    "wht": "what",
    "hwo": "how",
    "mny": "many",
    "mcuh": "much",
    "adn": "and",
    "taht": "that",
    "wnat": "want",
    "hav": "have",
    "abt": "about",
    "rigth": "right",
    "dbs": "databases",
    "dups": "duplicates",
    "dupes": "duplicates",
    "dupe": "duplicate",
    "thru": "through",
    "btwn": "between",
    "usg": "usage",
    "cos": "because",
    "cuz": "because",
    "gb's": "GB",
    "gbs": "GB",
    "gigs": "GB",
    "gig": "GB",
    "megs": "MB",
    "megabytes": "MB",
    "gigabytes": "GB",
    "gibibytes": "GiB",
    "terabytes": "TB",
    "preds": "predictions",
    "vals": "values",
    "val": "value",
    "msrmnts": "measurements",
}
_RULES = [
    (re.compile(f"{_BEFORE}(?:{pattern}){_AFTER}", re.IGNORECASE), told)
    for pattern, told in (
        *SUBJECTS,
        *STATISTICS,
        *EVERYDAY,
        *((re.escape(word), told) for word, told in sorted(_WORDS.items(), key=lambda one: -len(one[0]))),
    )
]

# A sentence about why somebody asks, ahead of what is asked. It says nothing of what to leave out, or when.
_PREAMBLE = re.compile(
    r"^(?:i|i'm|i've|we|we've|we're|my|our|the|a|some|users?|customers?|people|someone|somebody|they|management|there"
    r"|colleagues?|it)\b(?!.*\b(?:only|except|exclud\w*|without|ignor\w*|besides|when|while|if|not|never|no)\b.*[.,;!])"
    r"[^?]{3,120}?(?:[.;!]|, ?(?=(?:so |and |but )?(?:what|which|how|when|who|where|why|is|was|did|can|could|show|give"
    r"|tell|compare)\b)) ?",
    re.IGNORECASE,
)
_ON_BEHALF = re.compile(
    r"^(?:(?:my|our|the) (?:\w+ )?|some)\w+ (?:wants?|needs?|asked|asks|would like|is asking|are asking)(?: me| us)?"
    r"(?: to (?:know|see|get|have|find out)| for| about)? (?=\w+ \w+)",
    re.IGNORECASE,
)
# What people say before they ask; where nothing follows, it is all they say.
_LEAD = re.compile(
    r"^(?:(?:ok|okay|wait|right(?! now)|fine|great|cool|perfect|nice|thanks|thank you|alright|well|hi|hello|hey|hiya|yo"
    r"|good (?:morning|afternoon|evening|day)|morning|quick question|question|just curious|dear \w+|hmm*|um+|so|guys"
    r"|there|team|and now|(?:i )?(?:was )?(?:just )?wondering(?: if)?)"
    r"(?:[,!.:;-]+ | (?:there|all|team|guys|bot|again)[,!.:]* | )+)+(?=\S+ \S)",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """A question in the words the grammar knows. text: one line; names, quoted text and selectors stay as they are."""
    for pattern, told in _RULES:
        text = pattern.sub(told, text)
    return " ".join(_ON_BEHALF.sub("", _LEAD.sub("", text)).split())


def preamble(text: str) -> int:
    """How many letters of a text only tell why somebody asks; 0 where it comes to the point at once."""
    match = _PREAMBLE.match(text)
    return match.end() if match else 0


def carries_nothing(word: str) -> bool:
    """Whether a word nobody understood may be passed over: it says how something is said, never what is asked."""
    return word in CARRIERS or (len(word) > 5 and word.endswith("ly") and word not in _TOLD_BY_LY) or not _SAYS(word)


_TOLD_BY_LY = frozenset(
    """
    weekly monthly yearly early supply reply apply anomaly family usually unusually normally abnormally
    """.split()  # noqa: SIM905
)
_SAYS = re.compile(r"\w").search
