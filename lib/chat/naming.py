"""Which hosts a text means: as they are stored, as people spell them, and in groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lib.chat.lexicon import STOP
from lib.chat.masked import Masked

_HOST_LIKE = re.compile(r"[a-z][a-z0-9]*(?:[-.][a-z0-9]+)*[-.]?\d+(?::\d+)?|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?")
_GROUP = re.compile(
    r"\b([a-z][a-z0-9]{1,20}) (?:(?=(hosts?|servers?|machines?|nodes?|boxe?s?|instances?|vms?)\b)\2|tier"
    r"|farm|cluster|fleet|group)\b|(?<![\w*-])([a-z][a-z0-9]{1,20})-?\*(?!\w)"
)
_ASKED = re.compile(
    r"\b(?:(?:which|what|on which|on what)(?: of the| one of the)?"
    r"|(?:how many|number of|count(?: of)?|list|show(?: me)?|names?(?: of)?|are there|rank)(?: (?:the|all|our"
    r"|any))*) ?$"
)
# Not what something is held against: "unlike the others".
_OTHERS = re.compile(
    r"(?<!from )(?<!than )(?<!to )(?<!with )(?<!against )(?<!unlike )(?<!among )(?<!vs )(?<!versus )(?<!all )(?<!any )"
    r"\bthe others?\b(?! than)(?: (?:of )?(?P<group>[a-z][a-z0-9]{1,20}))?"
    r"(?: (?:hosts?|servers?|machines?|nodes?|boxe?s?|instances?|vms?|ones?)\b)?"
)
_SPARED = re.compile(
    r"\b(?:except(?: for)?|excluding|without|other than|apart from|aside from|but not|not counting"
    r"|not including|besides|leaving out|ignoring)\b(?=(?: and| or| the|,|/)*(?:\s{4,}|$|[?.!]))"
)


def named_hosts(masked: Masked, known: Sequence[str]) -> tuple[str, ...]:
    """The hosts a text names, one by one or by what they have in common, in their stored order; takes them out."""
    found: list[tuple[int, str]] = []
    spellings = _spellings(known)
    # Longest first, so that web-1 does not take a part of web-10.
    for host in sorted(known, key=len, reverse=True):
        pattern = re.compile(rf"(?<![\w.:-]){re.escape(host.lower())}(?![\w:-]|\.\w)")
        matches = masked.take(pattern)
        found += [(match.start(), host) for match in matches[:1]]
    for match in re.compile(
        r"\b[a-z]{2,20}[ #_]#?\d{1,4}\b(?!\.\d|[\w:%/-]| ?(?:%|percent|[smhdw]\b|min|sec|hour|hr|day|week|month))"
    ).finditer(masked.text):
        if len(same := spellings.get(_spelling(match[0]), set())) == 1:
            found.append((match.start(), next(iter(same))))
            masked.blank(match.start(), match.end())
    for word, begin, end in masked.tokens():
        named = spellings.get(_spelling(re.sub(r"(?:(?<=\d)'?|')s$", "", word)))
        if named and len(named) == 1 and (any(c.isdigit() for c in word) or word not in STOP):
            found.append((begin, next(iter(named))))
            masked.blank(begin, end)
    for match in _GROUP.finditer(masked.text):
        begins, noun = match[1] or match[3], match[2] or ""
        shorter = {"database": "db"}.get(begins, begins)
        members = [h for h in known if re.match(rf"(?:{re.escape(begins)}|{shorter})(?![a-z])", h.lower())]
        if members and begins not in STOP:
            found += [(match.start(), member) for member in members]
            masked.blank(match.start(), match.end())
            if noun and _ASKED.search(masked.text[: match.start()]):
                # "Which web server …" still asks for a host.
                masked.text = (
                    masked.text[: match.start()] + noun.ljust(match.end() - match.start()) + masked.text[match.end() :]
                )
    listed = {host for _, host in found}
    if listed and (spared := _SPARED.search(masked.text)) is not None:
        # The hosts that follow it (blanked) are left out of those before, or of all.
        masked.blank(spared.start(), spared.end())
        wanted = {host for at, host in found if at < spared.start()} or set(known)
        listed = wanted - {host for at, host in found if at > spared.start()}
    return tuple(host for host in known if host in listed)


def other_hosts(masked: Masked, known: Sequence[str]) -> tuple[str, ...] | None:
    """The hosts "the other db" may be; () for "the other one", all those like the one before. None: nobody says so."""
    match = _OTHERS.search(masked.text)
    if match is None:
        return None
    group = match["group"] or ""
    members = tuple(
        host for host in known if group and re.match(rf"{re.escape(group.rstrip('s'))}(?![a-z])", host.lower())
    )
    noun = re.fullmatch(r"hosts?|servers?|machines?|nodes?|boxe?s?|instances?|vms?|ones?|database", group) is not None
    if group and not members and not noun:
        return None
    masked.blank(match.start(), match.end())
    return members


def _spelling(word: str) -> str:
    """web-03, web03, Web_3 and web-3:9100 are one spelling."""
    word = re.sub(r":\d+$", "", word.lower())
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[^a-z0-9]", "", word))


def _spellings(hosts: Iterable[str]) -> dict[str, set[str]]:
    made: dict[str, set[str]] = {}
    for host in hosts:
        made.setdefault(_spelling(host), set()).add(host)
        made.setdefault(_spelling(host.split(".")[0]), set()).add(host)
    return made


def unknown_host_in(rest: Sequence[str], known: Sequence[str]) -> str:
    """The first word that looks like a host, where nobody has it."""
    if not known:
        return ""
    return next((word for word in rest if _HOST_LIKE.fullmatch(word)), "")
