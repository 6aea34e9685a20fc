"""What is understood and cannot be done: a number for each day, times that come again, the second of a ranking."""

from __future__ import annotations

import re

MAX_CHARACTERS = 2000
NO_QUERY = (
    "I run a SELECT over the stored tables, and nothing else: no PromQL, and nothing that changes data. Ask in "
    "words, like: "
    "peak cpu on all hosts yesterday. An expression can be collected under a name on the Sources page."
)
# "Average per day" asks for as many numbers as there are days.
_BROKEN_DOWN = re.compile(
    r"\b(?:per|each|every|by|for each|for every|in each) (?:single )?(?:day|hour|week|weekday|minute|month)\b(?! ago)"
    r"|\b(?:daily|hourly|weekly)\b|\b(?:day by day|hour by hour|day to day)\b"
    r"|\b(?:which|what) (?:hour|day|weekday)\b.*\b(?:most|average|avg|mean|total|least)\b"
)
_RECURRING = re.compile(
    r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days\b|\b(?:mornings|afternoons|evenings|nights|weekdays"
    r"|weekends|workdays"
    r"|working days|business days)\b"
)
_ADDED_UP = re.compile(r"\b[a-z]\w* plus (?!the (?:time|moment|host)|when|where)(?:the )?[a-z]")
# Commands nobody here carries out; those that can be are taken for orders before.
_DONE_ELSEWHERE = re.compile(
    r"^(?:(?:please|pls|kindly|just|go|now|then|(?:can|could|would|will) you),? )*(?:increase|decrease|reduce"
    r"|raise|lower"
    r"|double|halve|extend|expand|enlarge|resize|upgrade|downgrade|migrate|allocate|throttle|rename|empty|clean|clear"
    r"|free|shut|turn|switch|move|tune|buy|block|patch|roll) "
    r"(?:back |down |off |on |up |out )?(?:the|our|my|its|this|that|all|some|more|another|[a-z]+-\d+)\b"
)
# How much is serious? The four severities have names.
_HOW_SERIOUS = re.compile(
    r"(?<!most )(?<!more )\b(?:serious|severe|grave|significant|important|harmless) "
    r"(?:anomal(?:y|ies)|incidents?|problems?|issues?|outliers?)\b"
)
_OPINION = re.compile(r"\bdo you (?:like|prefer|love|hate|think of)\b|\byour (?:favou?rite|opinion)\b")
_WHODUNIT = re.compile(
    r"^(?:so |and )?who (?:caused|broke|is responsible|was responsible|is to blame|crashed|messed)\b"
)
READ_ONLY = (
    "I only read: nothing is started, changed or removed from chat. Sources, tasks and detectors have pages of "
    "their own."
)
_ORDINAL = re.compile(
    r"\b(?:second|third|fourth|2nd|3rd|4th)[- ](?:worst|highest|lowest|best|largest|biggest|smallest|most|least"
    r"|busiest"
    r"|longest|shortest|newest|latest|oldest|to last)\b|\brunner[- ]up\b|\b(?:worst|highest|lowest|last) but one\b"
)


def turned_down(text: str) -> str:
    """Why such a question is not answered, and what to ask instead; '' for all others."""
    lowered = text.lower()
    if _DONE_ELSEWHERE.search(lowered):
        return READ_ONLY
    if _OPINION.search(lowered):
        return "I have no opinions, only what was measured. Ask which host had the highest or lowest of a metric."
    if _WHODUNIT.search(lowered):
        return "I know what happened on hosts, not who did it. Ask *why* about an anomaly, or what was deployed."
    if _HOW_SERIOUS.search(lowered):
        return (
            "Anomalies are critical, major, minor or warning; name one of these, like *critical anomalies this week*."
        )
    if _BROKEN_DOWN.search(lowered):
        return "I cannot break a period down into its days or hours; name one period, like *yesterday*."
    if _RECURRING.search(lowered):
        return "I cannot pick times that come again and again; name one period, like *yesterday morning*."
    if _ADDED_UP.search(lowered):
        return "I cannot add one metric to another; ask for each by itself, or for the *ratio* of two."
    if _ORDINAL.search(lowered):
        return "I cannot pick the second or third alone; ask for the `top 3`, and they are listed."
    return ""


def unreadable(clean: str) -> str:
    """Why a text is no question at all: empty, too long, in another language; '' for all others."""
    if not clean:
        return "Please type a question."
    if len(clean) > MAX_CHARACTERS:
        return f"That is {len(clean):,} characters; a question here may have {MAX_CHARACTERS:,}. Please ask it shorter."
    letters = [c for c in clean if c.isalpha()]
    if letters and sum(not c.isascii() for c in letters) > 0.3 * len(letters):
        return "I understand questions in English only. Try: which hosts had anomalies yesterday?"
    return ""
