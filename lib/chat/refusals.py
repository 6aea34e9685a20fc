"""What is understood and cannot be done: a number for each day, times that come again, the second of a ranking."""

from __future__ import annotations

import re

# "Average per day" asks for as many numbers as there are days.
_BROKEN_DOWN = re.compile(
    r"\b(?:per|each|every|by|for each|for every|in each) (?:single )?(?:day|hour|week|weekday|minute|month)\b(?! ago)"
    r"|\b(?:daily|hourly|weekly)\b|\b(?:day by day|hour by hour|day to day)\b"
    r"|\b(?:which|what) (?:hour|day|weekday)\b.*\b(?:most|average|avg|mean|total|least)\b"
)
_RECURRING = re.compile(
    r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days\b|\b(?:mornings|afternoons|evenings|nights|weekdays|weekends|workdays"
    r"|working days|business days)\b"
)
_ORDINAL = re.compile(
    r"\b(?:second|third|fourth|2nd|3rd|4th)[- ](?:worst|highest|lowest|best|largest|biggest|smallest|most|least|busiest"
    r"|longest|shortest|newest|latest|oldest|to last)\b|\brunner[- ]up\b|\b(?:worst|highest|lowest|last) but one\b"
)


def turned_down(text: str) -> str:
    """Why such a question is not answered, and what to ask instead; '' for all others."""
    lowered = text.lower()
    if _BROKEN_DOWN.search(lowered):
        return "I cannot break a period down into its days or hours; name one period, like *yesterday*."
    if _RECURRING.search(lowered):
        return "I cannot pick times that come again and again; name one period, like *yesterday morning*."
    if _ORDINAL.search(lowered):
        return "I cannot pick the second or third alone; ask for the `top 3`, and they are listed."
    return ""
