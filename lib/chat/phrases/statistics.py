"""Set phrases about what is wanted of a metric, and what they say plainly."""

from __future__ import annotations

_HOSTS = r"(?:hosts?|servers?|machines?|computers?|nodes?|boxe?s?|instances?|systems?|vms?)"
STATISTICS: tuple[tuple[str, str], ...] = (
    (
        r"when (?:did|do|were|was) (?:the )?(?:db |database )?quer(?:y|ies) (on|of|at) (\S+) (?:take|took"
        r"|taking) (?:the )?longest",
        r"when was the query latency \1 \2 highest",
    ),
    (
        r"when (?:did|do|were|was) (?:the )?(?:http )?(?:requests?|responses?) (on|of|at|from) (\S+) (?:take"
        r"|took|taking) "
        r"(?:the )?longest",
        r"when was the latency \1 \2 highest",
    ),
    (r"and how long did (?:they|it) take(?: then)?(?= *\??$)", ""),
    (
        r"(read|write) (?:throughput|rate|speed|bandwidth|volume) (?:of|from|to|on) (?:the )?(?:disks?"
        r"|storage)",
        r"disk \1 rate",
    ),
    (
        r"how (?:big|large|great|strong) (is|was|are|were)(?: the)?(?= (?:load|cpu|latency|queue|traffic|error"
        r"|memory|request))",
        r"what \1 the",
    ),
    (r"in average", "on average"),
    (
        r"(which|who|what)((?: [\w-]+){0,8}?) (?:the )?(?:longer|larger|bigger|greater)(?= (?:average|mean"
        r"|median|\w+ \w+))"
        r"(?!.* than\b)",
        r"\1\2 the highest",
    ),
    (
        r"in (\d{1,2}(?:\.\d+)?) ?(?:%|percent) of (?:the |all )*(?:measurements|readings|samples|cases|time)(.*?) "
        r"(?:was|were|is|stayed) (?:below|under|at most) (?:what|which)(?: value)?",
        r"\1th percentile\2",
    ),
    (
        r"(queries|requests|jobs|statements) (did|does|do|has|have) (\S+) (?:run|execute|make"
        r"|start)",
        r"\1 \2 \3 handle",
    ),
    (r"traffic (.{3,60}?),? (?:in|as) requests(?: per second)?", r"requests \1 per second"),
    (
        r"(?:requests?|responses?|answers?|replies) (?:to|of|on|from) (\S+) (?:(?:that|which|have|were|was) )*"
        r"(?:(?:ended|ending|finished|returned|answered|resulted|failed) )?(?:with|in|as) (?:an? |the )?(?:http )?"
        r"(?:(?:status|return|response|error) )?(?:code )?(?:of )?50\d",
        r"5xx errors on \1",
    ),
    (
        r"(?:requests?|responses?|answers?|replies) (?:(?:that|which|have|were|was) )*"
        r"(?:(?:ended|ending|finished|returned|answered|resulted|failed) )?(?:with|in|as) (?:an? |the )?(?:http )?"
        r"(?:(?:status|return|response|error) )?(?:code )?(?:of )?50\d",
        "5xx errors",
    ),
    (
        r"(?:what|which) (?:percentage|percent|share|fraction|proportion|part) of (?:the |its )?(memory|ram|swap)"
        r"((?: (?:on|of) \S+)?) (is|was|are|were) (?:in use|used|busy|taken|occupied|consumed)",
        r"what \3 the \1 usage\2",
    ),
    (
        r"to (?:what|which) (?:percentage|percent|extent|degree|level) (?:is|was|are) (.+?) (?:filled|full|used"
        r"|occupied)",
        r"how full is \1",
    ),
    (r"(?:be |is |get |gets )?filled (?:up )?to", "reach"),
    (
        r"(?:total |overall )?(?:size|capacity) of (?:the )?(root )?(?:file ?system|disk|partition|volume"
        r"|drive)",
        r"\1disk size",
    ),
    (r"(?:the )?fullest (root )?(?:file ?system|disk|partition|volume|storage)s?", r"highest \1disk space used"),
    (r"(?:job|batch) queue", "queue"),
    (r"and how many (?:entries|items|jobs) (?:were|was|are) (?:in it|queued|there)(?= *\??$)", ""),
    (r"batch jobs", "jobs"),
    (
        r"how (?:slow|fast|quick) (was|were|is|are|has|have) (?:the |our )?(?:db |database |sql )?quer(?:y"
        r"|ies)",
        r"what \1 the query latency",
    ),
    (
        r"how (?:slow|fast|quick) (was|were|is|are|has|have) (?:the |our )?(?:http )?(?:requests?|responses?"
        r"|answers?)",
        r"what \1 the latency",
    ),
    (r"how (?:slow|fast) (was|is|were|are)(?= [a-z]+-?\d)", r"what \1 the latency of"),
    # How long something takes is its latency, not how many there are.
    (
        r"how (?:long|fast|quickly|slow(?:ly)?|quick) (?:does|do|did|is|are|was|were) (?:(?:an?|the|each|every"
        r"|single|one|all)"
        r" )*(?:(?:db|database|sql) )?quer(?:y|ies) (?:take|took|last|answered|served|handled|processed|run"
        r"|executed)",
        "what is the query latency",
    ),
    (
        r"how (?:long|fast|quickly|slow(?:ly)?|quick) (?:does|do|did|is|are|was|were) (?:(?:an?|the|each|every"
        r"|single|one|all)"
        r" )*(?:http )?(?:requests?|responses?|answers?|replies|calls?) (?:take|took|last|answered|served"
        r"|handled|processed)",
        "what is the latency",
    ),
    (
        r"how (?:quickly|fast|slowly|slow) (?:does|do|did|is|are|was|were) (\S+) (?:answer|respond|serv|process"
        r"|handl|return"
        r"|execut)(?:e|ing|s)?(?: to)? (?:(?:its|the|all|your) )?(?:(?:db|database|sql) )?queries",
        r"what is the query latency of \1",
    ),
    (
        r"how (?:quickly|fast|slowly|slow) (?:does|do|did|is|are|was|were) (\S+) (?:answer|respond|reply|serv"
        r"|process|handl"
        r"|return)(?:e|ing|s)?(?: to)?(?: (?:(?:its|the|all|your) )?(?:http )?requests)?",
        r"what is the latency of \1",
    ),
    (
        rf"(which|what) (database|db)( {_HOSTS})? (?:is|was|answers?|answered|responds?"
        rf"|responded) (?:the )?(?:slower|slowest)",
        r"\1 \2\3 has the highest query latency",
    ),
    (
        rf"(which|what) (database|db)( {_HOSTS})? (?:is|was|answers?|answered|responds?"
        rf"|responded) (?:the )?(?:faster|fastest)",
        r"\1 \2\3 has the lowest query latency",
    ),
    (
        rf"(which|what) ((?:\w+ )?{_HOSTS}) (?:is|was|answers?|answered|responds?|responded) (?:the )?(?:slower"
        rf"|slowest)",
        r"\1 \2 has the highest latency",
    ),
    (
        rf"(which|what) ((?:\w+ )?{_HOSTS}) (?:is|was|answers?|answered|responds?|responded) (?:the )?(?:faster"
        rf"|fastest)",
        r"\1 \2 has the lowest latency",
    ),
    (r"(?:upper|top|high) end of", "maximum of"),
    (r"(?:lower|bottom|low) end of", "minimum of"),
    (
        r"(?:traffic|data|bytes) (?:(?:has|have|is) )?(?:(?:went|gone|goes|going|flowed|flows|moved) out (?:of"
        r"|from|on|at)"
        r"|(?:left|leaving|leaves)(?= [a-z]+-?\d))",
        "network sent on",
    ),
    (
        r"(?:traffic|data|bytes) (?:(?:has|have|is) )?(?:(?:went|came|gone|comes|coming|goes|going|flowed"
        r"|flows) in(?:to)?"
        r"|arriv(?:ed|es|ing))(?: (?:on|at|to))?",
        "network received on",
    ),
    (
        r"how hard (?:is|was|are|were|does|did|has) (\S+) (?:working|work(?:ed)?"
        r"|been working)",
        r"what is the cpu usage of \1",
    ),
    (
        r"how (?:often|frequently) (?:does|did|do|has|have) (.+?) (?:return(?:ed)?|give|send|sent|answer(?:ed)?"
        r"|respond(?:ed)?|reply|throw|produced?)(?: with)? (?:an? )?(?:http )?errors?",
        r"error rate on \1",
    ),
    (
        r"(?:jobs|items|tasks|messages|entries) (?:(?:is|are|were|was|still|sitting|currently|now) )*in (?:the "
        r"|its )?queue",
        "queue depth",
    ),
    (
        r"how much (memory|ram|swap) (?:does|do|did|has|have) (\S+) have(?: got)?(?: in total| altogether"
        r"| installed)",
        r"total \1 of \2",
    ),
    (
        r"(?<!.)(?:(?:please|kindly|can you|could you|would you|will you) )*(?:state|quote|report|indicate"
        r"|specify|provide|determine|establish|find out"
        r"|work out"
        r"|compute|calculate|look up|check)(?: me| us)?(?= (?:the|what|which|how|when|whether|if) )",
        "",
    ),
    (
        r"what (?:level|value|height) (?:did|does|has) (.+?) (?:reach(?:ed)?|hit|climb(?:ed)? to|get to|rise to"
        r"|go up to)",
        r"what was the maximum of \1",
    ),
    (r"at (?:the )?most(?= *[?.!]*$)|at its (?:peak|highest|worst|maximum)", "maximum"),
    (r"at (?:the )?least(?= *[?.!]*$)|at its (?:lowest|minimum|best)", "minimum"),
    (
        r"(?<!many )(?<!which )(?<!what )(?<!of )(?<!did )(?:that |which )?(?:our |the |any )?(?:users?"
        r"|customers?|clients?|people|visitors) (?:saw|had"
        r"|experienced|felt|got"
        r"|noticed|see|have seen|were seeing|had to wait)",
        "",
    ),
    (
        r"how (?:far )?(?:down|low) (?:did|has|does) (.+?) (?:go(?:ne)?|get|fall(?:en)?|drop(?:ped)?|sink|come)",
        r"what was the minimum of \1",
    ),
    (r"(?:the )?top talkers?(?: on the network)?", "hosts with the most network traffic"),
    (
        r"(?:wrote|writes?|written|writing) (?:the )?(?:most|greatest|highest|largest)(?: (?:amount|volume"
        r"|quantity)(?: of)?)?"
        r"(?: data| bytes)? (?:to|on) (?:the |its )?(?:disks?|storage)",
        "had the most disk writes",
    ),
    (
        r"(?:read|reads|reading) (?:the )?(?:most|greatest|highest|largest)(?: (?:amount|volume|quantity)(?: of)?)?"
        r"(?: data| bytes)? (?:from|off) (?:the |its )?(?:disks?|storage)",
        "had the most disk reads",
    ),
    (
        r"(?:which|what) (?:value|level) is (?:not|never) exceeded by (\d{1,2}(?:\.\d+)?) ?(?:%|percent) of",
        r"\1th percentile of",
    ),
    (
        r"(queries|jobs|requests) (were|are|was|got|have been|being) (?:run|executed|processed|issued"
        r"|made)",
        r"\1 \2 handled",
    ),
    (
        r"(?:room|space|capacity) (?:is |was |are |do we have )?(?:still )?(?:left|free|available|remaining)"
        r" (?:on|in|at) (?:the |its )?(?:disks?|drives?|storage|volume)",
        "free disk space",
    ),
    (r"room (?:is |was |are )?(?:still )?(?:left|free|available|remaining)", "free disk space"),
    (r"what (?:remains|is|stays) (?:still )?(?:free|left|available|unused)(?= (?:on|in|of|at) /)", "free disk space"),
    (
        r"(?:how long|since when) (?:has|have|is|are) (\S+) (?:been )?(?:running|up|online|alive)(?= *[?.!]*$"
        r"| since| now)",
        r"uptime of \1",
    ),
    (r"when (?:was|did) (\S+) (?:last |most recently )?(?:re)?(?:start|boot)(?:ed)?(?: up)?", r"last reboot of \1"),
    (
        rf"(which|what) ({_HOSTS}) (?:has|have|is|was|are) (?:been )?(?:up|running|online)(?: for)? (?:the )?longest",
        r"\1 \2 has the lowest boot time",
    ),
    (
        r"how (?:large|big|high|low|strong|great|wide|close|tight|long|slow|good|bad|full|deep) (is|are|was|were)"
        r"(?: the)?(?= (?:[\w-]+ ){0,2}?(?:standard|std|spread|variance|correlation|relation(?:ship)?|ratio"
        r"|difference"
        r"|median|average|mean|maximum|max|minimum|min|peak|\d+(?:st|nd|rd|th)|p\d\d|percentile|share|proportion"
        r"|increase)\b)",
        r"what \1 the",
    ),
    (
        r"and how (?:slow|high|bad|large|big|long|deep|low|much|severe|full) (?:was|is|did|were) "
        r"(?:it|that|this|they)(?: get| go)?(?= *\??$)",
        "",
    ),
    (
        r"(?:below|under) (?:which|what) (?:value|level|number) (?:did|do|does|were|was|are|is|lie|lay) "
        r"(\d{1,2}(?:\.\d+)?) ?(?:%|percent) of (?:all |the )*(.+?) (?:stay(?:ed)?|remain(?:ed)?|lie|fall|lay|fell)",
        r"\1th percentile of \2",
    ),
    (r"min(?:imum)?[/,] ?(?:avg|mean|average),?(?:/| and | )max(?:imum)?", "stats of"),
    (r"([a-z]{2,})-wise", r"by \1"),
    (r"fewest", "least"),
    (r"fewer than", "less than"),
    (
        r"jobs( (?:did|do|does|has|have|had|were|was|got|that)(?: [\w-]+){0,3}?) "
        r"(?:completed?|finish(?:ed)?|done|run|ran|process(?:ed)?)",
        r"completed jobs\1",
    ),
    (r"(do|does|did|can|could) (\S+) process", r"\1 \2 handle"),
    (
        r"(?:receiv\w+|handled|served|got|get) (?=(?:the )?(?:most|least|highest|lowest) (?:number of )?requests)",
        "had ",
    ),
    (r"(?:out )?(?:over|across|on|via|through) the (?:wire|line|cable)", ""),
    (
        r"(?:what|which) (?:percentage|percent|share|fraction|proportion|part) of (?:the )?"
        r"(?:\w+ )?(?:volume|partition|mount ?point|file ?system|disk|drive|storage)(?: space)?( (?:at |on )?/\S*)? "
        r"(?:is|are|was|were) (?:in use|used|full|taken|occupied|filled)",
        r"disk space used\1",
    ),
    (
        r"(the|our|my|all|these|those) (?:two|three|four|five|six|ten|\d{1,2})(?= (?!\w+est\b|most\b|top\b"
        r"|worst\b)[a-z]+ (?:hosts|servers|machines"
        r"|nodes|boxes|databases|instances)\b)",
        r"\1",
    ),
    (r"(?:(?:db|database|data|system|log) )?(?:partition|volume|mount ?point|file ?system|mount|disk)(?= /)", ""),
)
