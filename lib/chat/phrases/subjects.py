"""Set phrases about what is stored, times, holes in the data, anomalies and deploys, and what they say plainly."""

from __future__ import annotations

_HOSTS = r"(?:hosts?|servers?|machines?|computers?|nodes?|boxe?s?|instances?|systems?|vms?)"
_KEPT = (
    r"(?:measured?|monitor(?:ed)?|collect(?:ed)?|record(?:ed)?|track(?:ed)?|stor(?:e|ed)|gather(?:ed)?|export(?:ed)?)"
)
_DATA = r"(?:data|metrics|numbers|samples|figures|measurements|values)"

# What is stored, where, and where it comes from.
_INVENTORY = (
    (
        r"(?:the )?(?:earliest|first|oldest) (?:time|moment|date|point)(?: in time)? (?:for|from|at"
        r"|since) which (?:there (?:is|are)"
        r"|we have|you have)(?: any)? (?:data|samples|metrics)",
        "since when is there data",
    ),
    (rf"(how many (?:{_HOSTS}|metrics|series).{{0,40}}?) in total", r"\1"),
    (
        r"(?:send|sends|sending|delivers?|delivering|ships?) (?:us|me|you) (?:any |their |its |some )?(?:data"
        r"|metrics|samples)",
        "exist",
    ),
    (r"(?:what|which) (?:kinds?|sorts?|types?) of (?:data|metrics|measurements|information)", "which metrics"),
    (r"(?:keep|have|hold|store) records (?:of|for|about|from)", "have data for"),
    (r"does (?:the|our|your) (?:database|store|storage|system) (?:contain|have|hold|include)", "are there"),
    (r"(?:the )?(?:metric|series) [\"'`]?up[\"'`]?(?= )", "is up"),
    (r"(?:the )?(?:counter|metric|gauge|time series|series|measurement)(?= [a-z]\w*_\w+)", ""),
    (r"under (?:observation|surveillance|monitoring|watch)", "monitored"),
    (
        rf"(?:on|from|for) (?:which|what) {_HOSTS} (?:do|did|can) (?:we|you|i) (?:{_KEPT}|have|get|find)",
        "which hosts have",
    ),
    (
        rf"(?:on|from|for) (?:which|what) {_HOSTS} (?:is|are) (\w+) (?:{_KEPT}|available"
        rf"|there)",
        r"which hosts have \1",
    ),
    (
        r"who(?: is|'s)? (?:exporting|exports|exposing|exposes|reporting|reports|sending|sends)(?= \w+_\w+)",
        "which hosts have",
    ),
    (
        rf"(?:everything|all|what)(?: that| which)?(?: (?:is|are|gets|do we|do you|we|you))? (?:being )?{_KEPT} "
        r"(on|from|for|about|of|by|at)(?= [\w.-]+\W*$)",
        r"which metrics are there \1",
    ),
    (
        r"(metrics|series|hosts|servers|machines|samples|data)((?: [a-z]+)?) (?:in|of|from) (?:the|your|our|this) "
        r"(?:database|data ?base|store|data ?store|system|tool|app|catalogue|catalog|inventory)(?= *[?.!]*$)",
        r"\1\2",
    ),
    (r"(?:in|across|of|within) (?:our|the|my|this) (?:whole |entire )?(?:environment|infrastructure|landscape)", ""),
    (
        rf"where (?:does|do|is|are|did) (?:the |all |this |your |our |these )*{_DATA} (?:come|coming|taken|collected"
        r"|pulled|scraped|fetched|originate)(?: from)?",
        "which sources are there",
    ),
    (r"since (?:which|what) (?:date|day|time|moment|point)", "since when"),
    (r"(?:keep(?:s|ing)?|have|has) an eye on|look(?:ing)? after|in charge of|responsible for(?= *\??$)", "watch"),
    (r"(?:an? |the |full |complete )*(?:inventory|catalogue|catalog|register|directory|roster) of", "list"),
    (
        r"how (?:big|large) is (?:the|our) (?:fleet|estate|park|farm|cluster)|(?:fleet size"
        r"|size of the fleet)",
        "how many hosts are there",
    ),
    (
        r"what(?: all)? (?:is|do (?:we|you) have|have (?:you|we) got)(?: (?:available|stored|there|recorded))? "
        r"(?:for|on|about|of|from)(?= [a-z]+[\w.-]*\d[\w.-]*\W*$)",
        "which metrics are there on",
    ),
    (
        r"how far (?:does|do|did) (?:the |our |your )?(?:history|data|samples|records?|metrics|series) (?:go"
        r"|reach|date"
        r"|stretch)(?: back)?",
        "how far back",
    ),
)
# Each side of a moment.
_SIDES = (
    (
        r"(since|after|before) (?:we|they|you|someone|somebody) (?:deployed|released|rolled out|shipped)(?: version)?"
        r"(?= [a-z][\w-]* v?\d)",
        r"\1 the deploy of",
    ),
    (
        r"(?:did|has) (?:the )?(?:version |release )?([a-z][\w-]* v?\d+(?:\.\d+)+) (?:changed?|affect(?:ed)?"
        r"|influenced?"
        r"|impact(?:ed)?|raised?|increased?|improved?)",
        r"did the deploy of \1 change",
    ),
    (
        r"(?:in |during |over )?the (hour|day|week) (?:after|following|before|preceding) (?!that\b|it\b)(.{3,60}?),? "
        r"(?:compared? (?:with|to)|in comparison (?:with|to)|with|versus|vs\.?|than|against|and)(?: in| during| to)? "
        r"the (?:\1 )?(?:before|after|preceding|previous|following)(?: \1| it| that)?",
        r"1 \1 before and after \2 compared",
    ),
    (
        r"(?:in )?(?:the |an |one |1 )?(hour|day|week)s? before(?: it| that)? (?:and|with|vs\.?|versus|against|to"
        r"|compared (?:to|with)) (?:in )?(?:the |an |one |1 )?(?:\1s? )?after",
        r"1 \1 before and after",
    ),
    (r"(\d+ ?(?:minutes?|mins?|hours?|days?)) before and \1 after", r"\1 before and after"),
    (r"in comparison (?:with|to)", "compared with"),
    (
        r"before (the (?:[\w.-]+ ){0,3}?(?:deploy(?:ment)?|release|roll-?out"
        r"|upgrade)(?: of [a-z][\w-]* v?\d[\w.]*)?),?"
        r"(?: and| versus| vs\.?)? (?:(?:how|what) (?:was|were|is) (?:it|that) )?after(?: it| that)?",
        r"before and after \1",
    ),
)
# When, and until when.
_TIMES = (
    (r"at (\d{1,2}) o'?clock", r"at \1:00"),
    (r"(?:after|by|per|following|according to) the (?:forecast|prediction)", "forecast"),
    (r"(?:(?:in|during|over) )?(?:the )?(?:last|this|past) (?:week|month) \(([^)]{0,40}\d[^)]{0,40})\)", r"\1"),
    (r"(?:in|during|over|through) the night(?! (?:of|from|to|between))", "last night"),
    (
        r"(?:on |at |by |from )?(?:which|what) (?:calendar )?(?:date|day|point in time)"
        r"(?!.*\b(?:most|average|avg|mean|total|least|fewest)\b)",
        "when",
    ),
    (r"(?:at|on|by) (?:which|what) (?:exact )?(?:time|moment)", "when"),
    (
        r"(\d+)[- ]?(hour|day|week)s?(?:[- ]ahead)? (forecast|prediction"
        r"|projection)(s?.*)$",
        r"\3\4 for the next \1 \2s",
    ),
    (
        r"(\d{1,2}(?:st|nd|rd|th)? (?:of )?[a-z]{3,9}|[a-z]{3,9} \d{1,2}(?:st|nd|rd|th)?|(?:yester|mon|tues"
        r"|wednes|thurs"
        r"|fri|satur|sun|to)day),? (\d{1,2}) ?(?:to|-|until|till) ?(\d{1,2})(?= *(?:[?.!]|$))",
        r"\1 \2:00 to \3:00",
    ),
)
# Holes in the data.
_QUALITY = (
    (
        r"(?:at what time|when)(.*?) did (\S+) stop (?:sending|reporting|delivering)(?: any)?(?: data| samples"
        r"| metrics)?",
        r"when\1 were there gaps on \2",
    ),
    (r"(?:did|do|does) (?:(?:any|some|the) )?counters?((?: (?:on|of|from) \S+)?) reset", r"were counters reset\1"),
    (
        r"how (?:often|many times) (?:did|has|have|was|were) (?:the )?data (?:from|of|on|for) (\S+) "
        r"(?:(?:go|gone|get|been|become) )?(?:missing|lost|interrupted)",
        r"how many gaps were there on \1",
    ),
    (
        r"(?:in|at|during) (?:which|what) (?:time|period|hours?) (?:was|were) (?:there )?no (?:data|samples|values)",
        "when were there gaps",
    ),
    (
        r"(?:have|has|were|was|are|is) (?:(?:any|some|the|all) )?counters?((?: (?:on|of"
        r"|from) \S+)?) (?:ever )?(?:been )?reset",
        r"were counters reset\1",
    ),
    (
        r"no longer (?:receiv(?:e[sd]?|ing)|gets?|getting)(?: (?:any )?(?:new )?(?:data|samples|values))?"
        r"|(?:have |has )?(?:we |you )?not (?:received|gotten|got|had|seen) (?:any )?(?:fresh|new|recent) "
        r"(?:data|samples|values)(?: recently| lately)?",
        "stopped reporting",
    ),
    (
        r"how (?:often|many times) (?:was|were|has|have|is) (?:the )?(?:recording|collection|monitoring"
        r"|scraping|data)"
        r"(?: of| for| on)?(.*?) (?:been )?(?:interrupted|broken|stopped|paused|missing|disrupted)",
        r"how many gaps were there on\1",
    ),
    (r"(counters?)( \w+)? (?:start(?:ed)? over|start(?:ed)? again|beg[aiu]n again)", r"\1\2 reset"),
    (
        r"(?:how (?:often|many times) )?(?:did|does|has|had) (?:the )?(?:recording|collection|monitoring|scraping)s? "
        r"(?:stop(?:ped)?|break(?: off)?|broken?(?: off)?|paused?|fail(?:ed)?|halt(?:ed)?|drop(?:ped)? out"
        r"|get interrupted)",
        "how many gaps were there",
    ),
    (
        r"(?:how (?:often|many times)) (?:did|have|has) (?:the |any )?counters? (?:restart(?:ed)?|reset"
        r"|start(?:ed)? over"
        r"|start(?:ed)? again|beg[iua]n anew)(?: (?:from|at) zero)?",
        "how many counter resets were there",
    ),
    (
        r"(?:periods?|times?|stretch(?:es)?|phases?|spans?) (?:without|with no|of no|of missing) (?:any )?"
        r"(?:data|samples|values|readings)",
        "gaps",
    ),
)
# Anomalies and their reasons.
_TROUBLE = (
    (r"at most how many", "how many"),
    (
        r"(?:has|did|does|have) (?:the|this|your|our) (?:system|tool|app|software|monitoring|platform|engine)s? "
        r"(?:detect|find|found|raise|flag|report|see|record|register|notice)(?:ed|s)?",
        "were there",
    ),
    (
        r"how often did (\S+) (?:behave|act) (?:abnormally|strangely|oddly|weirdly|unusually|badly)",
        r"how many anomalies were there on \1",
    ),
    (
        r"when did (\S+) last (?:act up|misbehave|have (?:an? )?(?:problem|anomaly|issue|incident)s?|go wrong)",
        r"what was the newest anomaly on \1",
    ),
    (r"act(?:ed|s|ing)? up", "misbehaved"),
    (
        rf"(?:is|are|was|were) (?:anything|anyone|something|any (?:of the )?{_HOSTS}) (?:down|offline"
        rf"|unreachable)",
        "on which hosts was up below 1",
    ),
    (rf"({_HOSTS}) at most(?! \d)", r"\1"),
    (
        r"(?:furthest|farthest|most (?:distant|far)) (?:away )?from (?:all )?(?:the )?(?:others?|rest|fleet)",
        "most different from the others",
    ),
    (
        rf"(which|what) ({_HOSTS}) (?:caused|made|gave|created|produced) (?:us )?(?:the )?most (?:trouble"
        rf"|problems|anomalies"
        r"|incidents|issues)",
        r"\1 \2 had the most anomalies",
    ),
    (
        r"what (?:lies behind|triggered|led to|brought about|set off|provoked|is responsible for"
        r"|was responsible for|drove)",
        "what caused",
    ),
    (r"(?:normal|expected|usual) (?:range|band|value|level)(?= .*\banomaly\b)", "details"),
)
# Deploys, detectors, commands.
_ACTS = (
    (r"planned (maintenance|work|downtime)(?! *[.!]?$)", r"\1"),
    (
        r"what (?:did|have|had) (?:we|you|they|i) (?:ship(?:ped)?|released?|deploy(?:ed)?|roll(?:ed)? out"
        r"|push(?:ed)? out)",
        "what was deployed",
    ),
    (
        r"when did (?:the )?(maintenance|deploy(?:ment)?|release|roll-?out)(?:.{0,40}?) (?:begin|start|happen"
        r"|take place|end"
        r"|finish)",
        r"list \1",
    ),
    (
        r"(?:with|including|and|plus) (?:its|the|an?) ?(?:\d{2} ?(?:%|percent))? ?(?:prediction |confidence "
        r"|uncertainty )?"
        r"(?:range|interval|band|bounds?)(?= *[?.!]*$)",
        "",
    ),
    (r"run(?:s|ning)? out of (?:disk )?(?:space|storage|room)", "get full"),
    (
        r"(deploy\w*|releases?|roll-?outs?|maintenances?) (?:that |which )?(?:(?:have|has|had) )?t(?:ook|aken?"
        r"|akes) place",
        r"\1 were there",
    ),
    (
        r"when (?:was|did|were) (?:the )?(?:version )?(?:[a-z][\w-]* v?\d+(?:\.\d+)+)(?: get| go)? "
        r"(?:released|deployed|rolled out|live|out|shipped|release|deploy)",
        "list deploys",
    ),
    (
        r"when did (?:we|you|i|they|anyone|somebody) (?:last |most recently )?(?:re)?train(?: the| a| our)?",
        "when was the last training of",
    ),
    (
        r"(?:what is|what's|whats) the (?:story|deal|matter|situation|news) (?:with|on|about|at)",
        "what is the status of",
    ),
)
# A group is tried after those before it: what one leaves, the next may take.
SUBJECTS: tuple[tuple[str, str], ...] = (*_INVENTORY, *_SIDES, *_TIMES, *_QUALITY, *_TROUBLE, *_ACTS)
