"""Set phrases and what they say in plainer words; the first that fits comes first, and later ones see what it left."""

from __future__ import annotations

_HOSTS = r"(?:hosts?|servers?|machines?|computers?|nodes?|boxe?s?|instances?|systems?|vms?)"
_KEPT = (
    r"(?:measured?|monitor(?:ed)?|collect(?:ed)?|record(?:ed)?|track(?:ed)?|stor(?:e|ed)|gather(?:ed)?|export(?:ed)?)"
)
_DATA = r"(?:data|metrics|numbers|samples|figures|measurements|values)"

# What is stored, where, and where it comes from.
_INVENTORY = (
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
)
# Each side of a moment.
_SIDES = (
    (
        r"(?:in |during |over )?the (hour|day|week) (?:after|following|before|preceding) (?!that\b|it\b)(.{3,60}?),? "
        r"(?:compared? (?:with|to)|in comparison (?:with|to)|with|versus|vs\.?|than|against|and)(?: in| during| to)? "
        r"the (?:\1 )?(?:before|after|preceding|previous|following)(?: \1| it| that)?",
        r"1 \1 before and after \2 compared",
    ),
    (
        r"(?:the |an |one |1 )?(hour|day|week)s? before(?: it| that)? (?:and|vs\.?|versus|against|to"
        r"|compared (?:to|with)) (?:the |an |one |1 )?(?:\1s? )?after",
        r"1 \1 before and after",
    ),
    (r"(\d+ ?(?:minutes?|mins?|hours?|days?)) before and \1 after", r"\1 before and after"),
    (r"in comparison (?:with|to)", "compared with"),
)
# When, and until when.
_TIMES = (
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
# What is wanted of a metric.
_STATISTICS = (
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
        r"(?:jobs|tasks)( (?:did|do|does|has|have|had|were|was|got|that)(?: [\w-]+){0,3}?) "
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
        r"(the|our|my|all|these|those) (?:two|three|four|five|six|ten|\d{1,2})(?= [a-z]+ (?:hosts|servers|machines"
        r"|nodes|boxes|databases|instances)\b)",
        r"\1",
    ),
)
# Holes in the data.
_QUALITY = (
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
# Deploys, detectors, commands.
_ACTS = (
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
# Everything else, in the order it was learnt.
_OTHERS: tuple[tuple[str, str], ...] = (
    (r"([a-z]{3,})/(?:s|sec|secs|second)", r"\1 per second"),
    (r"(what|which) ?% of", r"\1 percent of"),
    (r"% of (?=(?:the |all |its )*(?:time|requests|readings|samples|yesterday|today))", "percent of "),
    (r"(?:right )?(?:at )?this (?:very )?(?:minute|second|moment|instant)", "right now"),
    (r"as of (?:right )?now", "right now"),
    (
        r"(?:fleet|cluster|site|estate|company|farm)[- ]?wide|(?:across|over|in|on) the (?:whole |entire )?(?:fleet"
        r"|board|estate|cluster|farm|park)|all over the place",
        "on all hosts",
    ),
    (r"(top|bottom)-?(\d{1,2})", r"\1 \2"),
    (r"(?:tp|pct|p-|p_|perc)(50|75|90|95|99)", r"p\1"),
    (r"(\d{2}(?:\.\d+)?)(?:th)? ?(?:%ile|%tile|pctl|pctile|ptile|centile|%-ile)", r"\1th percentile"),
    (
        r"(?<!above )(?<!over )(?<!than )(?<!below )(?<!under )(?<!exceed )(?<!exceeds )(?<!exceeded )(?<!least )"
        r"(?<!past )(?<!at )(?<!beyond )(50|75|90|95|99)(?:th)? (?:pct|perc|percent)"
        r"(?= (?:of )?(?:cpu|load|mem|lat|resp|queue|quer|disk))",
        r"p\1",
    ),
    (
        r"(?:how many )?(?:[KMGT]i?B|bytes|(?:kilo|mega|giga|tera)bytes)(?= (?:(?:were|was|got|of data) )?"
        r"(?:read|written|sent|received|downloaded|uploaded|transferred|transmitted))",
        "how many bytes",
    ),
    (
        r"(?:the )?(biggest |largest |heaviest |worst |main )?(memory|ram|mem|cpu|disk|network|bandwidth) "
        r"(?:hogs?|eaters?|consumers?|users?|guzzlers?)",
        r"hosts with the most \2 usage",
    ),
    (
        r"(?:wrote|writes?|writing) (?:the )?(most|least)(?: data| bytes)? (?:to|on) (?:the )?(?:disks?|storage)",
        r"had the \1 disk writes",
    ),
    (
        r"(?:reads?|reading) (?:the )?(most|least)(?: data| bytes)? (?:from|off) (?:the )?(?:disks?|storage)",
        r"had the \1 disk reads",
    ),
    (r"(?:wrote|writing)(?= .{0,30}\b(?:disk|storage)\b)", "written"),
    (
        r"(?:miss(?:ed|es|ing)?|skip(?:ped|s)?|drop(?:ped|s)?) (?:(?:any|some|a|the|its|many) )*"
        r"(?:scrapes?|samples?|data|data ?points?|points?|polls?|readings?)",
        "have gaps in the data",
    ),
    (r"(the|an?|one) (hour|day|week|minute) (before and after|either side of)", r"1 \2 before and after"),
    (r"(?:either side|both sides) of", "before and after"),
    (r"(?:for |over |during |in |across )?the (?:whole|entire|full|complete) (week|month)", r"this \1"),
    (r"all (?:this )?(week|month)(?: long)?", r"this \1"),
    (r"(?:the )?(?:whole|entirety) of (yesterday|today|last week|this week|last month|this month)", r"\1"),
    (r"(?:the )?(?:whole|entire|full) (?:of )?day (?:yesterday|before)", "yesterday"),
    (r"(?:what|how) about (?:the )?day before\??", "and the day before"),
    (r"(?:is|are) there (?:an?y?|some) (metrics?|series|data) (?:for|on|about)", r"which \1 are there about"),
    (
        r"how long (?:did|has) (?:it|that|this|that one|this one)(?: been)? (?:last(?:ed)?"
        r"|going(?: on)?|go on|take|run)|how long was (?:it|that|this)",
        "tell me more about that one",
    ),
    (r"(?<!.)instead of (?:the )?[\w -]{2,30}?,", "and"),
    (r"(?<!.)(.{3,80}) instead of (?:the )?[\w-]{2,30}", r"and \1"),
    (r"root (?:disk|partition|file ?system|fs|volume|mount ?point|drive)", "root disk space"),
    (
        r"when (did|does|has|will) ((?:\S+ ){0,4}?(?:anomaly|incident|problem|issue|one|it|that) (?:\S+ )??)"
        r"(?:start(?:ed)?|begin|begun|stop(?:ped)?|end(?:ed)?)",
        r"when \1 \2",
    ),
    (
        r"(?:share|percentage|percent|fraction|proportion|part) of (?:all |the )*(?:http )?requests(.{0,40}?) "
        r"(?:(?:that|which|have|had|has|were|are) )*(?:fail(?:ed|s|ing)?|went wrong|errored|errors?)",
        r"error rate\1",
    ),
    (
        r"scored (?:the )?(?:highest|most|top)|(?:with |had |has |have )?the (?:highest|top|largest) score",
        "highest scoring",
    ),
    (
        r"how (?:big|large) (?:is|are|was) (?:the )?(root )?(?:disk(?: space)?|file ?system|partition|volume)",
        r"\1disk size of",
    ),
    (r"(which|who)( .{0,60}?)? more", r"\1\2 most"),
    (
        r"(?:queued|waiting|pending|enqueued) (?:jobs|items|tasks|messages|entries)"
        r"|(?:jobs|items|tasks|messages|entries|things) (?:(?:is|are|were|was|still) )*"
        r"(?:waiting|pending|queued)(?: in (?:the |a )?queue)?",
        "queue depth",
    ),
    (
        r"(?:share|percent|percentage|fraction|proportion|part|ratio) of (?:all |the )*cache "
        r"(?:lookups|requests|accesses|queries|reads|calls) (?:(?:that|which|were|was|are|have|had"
        r"|been) )*(?:a )?hits?",
        "cache hit share",
    ),
    (
        r"(?:who|which (?:hosts?|servers?|machines?|boxes|nodes)) (?:was|were|is|are|got|has been|have been) "
        r"(?:affected|impacted|hit|involved|in trouble|concerned|suffering)",
        "which hosts had anomalies",
    ),
    (
        r"(which|what|how many) (hosts?|servers?|machines?|boxes|nodes) (?:stayed|remained|were|are|kept|was|is"
        r"|have been"
        r"|has been|ran) (?:completely |all |totally |still )?"
        r"(?:clean|quiet|calm|healthy|fine|ok|okay|normal|normally|unaffected|spared|inconspicuous|smoothly)",
        r"\1 \2 had no anomalies",
    ),
    (
        r"(up|down|grown|changed|increased|risen|fallen|dropped|decreased|better|worse|higher|lower) since "
        r"(last week|yesterday|last month)",
        r"\1 compared with \2",
    ),
    (r"network (?:usage )?(?:for |in |by )?(sending|receiving)(?: data)?", r"network \1"),
    (r"before ?(?:vs\.?|versus|/|or|compared (?:to|with)) ?after", "before and after"),
    (
        r"(?:the )?([a-z][\w-]* v?\d+(?:\.\d+)+) (deploy(?:ment)?|release|roll-?out|upgrade)",
        r"the \2 of \1",
    ),
    (
        r"(since|after|before) ([a-z][\w-]* v?\d+(?:\.\d+)+)(?: (?:was|got) (?:deployed|released|rolled out)"
        r"| went (?:live|out))?",
        r"\1 the deploy of \2",
    ),
    (r"(?:no\.?|#) of", "number of"),
    (r"(?:slower|slowest) (?:(?:db|database|sql) )?quer(?:y|ies)", "highest query latency"),
    (r"(?:slower|slowest) (?:http )?(?:requests?|responses?|answers?)(?: times?)?", "highest latency"),
    (r"slowest", "highest latency"),
    (
        r"(?<!growing )(?<!growing the )fastest(?= (?:\w+ )?(?:hosts?|servers?|machines?|nodes?|box|boxes"
        r"|to respond|web|api))",
        "lowest latency",
    ),
    (r"(?:that |which |whose names? )?(?:start|begin)(?:s|ning|ing)? with", "about"),
    (
        r"(are|were|is|was) (?:all|any|every|some)(?: of)?(?: the| our)? (hosts?|servers?|machines?|nodes?"
        r"|boxes|instances?)"
        r" (up|down|alive|reachable|online|running)",
        r"\1 \3 on all hosts",
    ),
    (
        r"(did|has|have|does)(?!.*\bcounters?\b) (.{1,40}?) (?:last |ever )?(?:reboot"
        r"|restart)(?:ed)?",
        r"\1 \2 rebooted",
    ),
    (
        r"(?:running |getting |be |being )?(?:low|short) (?:on|of) (memory|ram|disk(?: space)?|space|storage)",
        r"\1 usage",
    ),
    (r"anywhere", "on any host"),
    (
        r"(which|who|what)((?: [\w-]+){0,6}?) (?:the )?(?:lower|less|fewer|smaller|shorter"
        r"|smallest)(?! than)(?!.* than\b)",
        r"\1\2 lowest",
    ),
    (r"(5xx|50\d)s? (?:(?:http )?(?:responses?|replies|answers|status(?:es)?|codes?))", r"5xx errors"),
    (r"^(jobs|requests|queries) (done|completed|finished|served|handled|processed|executed)", r"how many \1 \2"),
    (
        r"(?:the )?(?:data|history|samples|metrics) (?:is |are )?(?:available|there|stored|kept|going back|present)?"
        r" ?since(?: when)?(?= ?\??$)",
        "since when is there data",
    ),
    (r"^(?:and |ok |so )*(?:overall|in general|(?:for )?(?:everyone|everything|all))(?= ?\??$)", "and on all hosts"),
    (
        r"(?:the )?same(?: (?:question|thing|again|story|one|figure|number|please))?(?: but| just)? (?:for|on"
        r"|with|of)",
        "same for",
    ),
    (r"(?:are|do) we (?:running|run|operating|operate|own|owning|manage|managing)", "do we have"),
    (r"100 ?% full", "full"),
    (r"(?:the )?(?:biggest|largest) (?:file ?system|disk|partition|volume)s?", "highest disk size"),
    (r"(?:the )?smallest (?:file ?system|disk|partition|volume)s?", "lowest disk size"),
    (r"(next|coming|following) (days|hours|weeks)", r"\1 few \2"),
    (r"(between|from) (\d{1,2}) (?:and|to) (\d{1,2}) (?:this|in the) morning", r"\1 \2:00 and \3:00 today"),
    (r"(between|from) (\d) (?:and|to) (\d{1,2}) this (?:afternoon|evening)", r"\1 \2pm and \3pm today"),
    (
        r"(?:share|percentage|percent|fraction|proportion|part|ratio) of (?:failed|failing|erroneous|bad) requests",
        "error rate",
    ),
    (r"(?:make|made) (\S+) (?:slower|faster)", r"change latency of \1"),
    (r"of the (week|month)(?! (?:of|before|in|ago))", r"this \1"),
    (r"of the day(?! (?:of|before|in|ago))", "today"),
    (r"(hosts?|servers?|machines?|nodes?|boxes|instances?) (?:that )?(?:sends?|emits?)(?= [a-z]+_\w+)", r"\1 have"),
    (r"(week|month)[- ]to[- ]date", r"this \1"),
    (r"senders? of (?:network )?(?:traffic|data|bytes)", "hosts by network traffic sent"),
    (r"receivers? of (?:network )?(?:traffic|data|bytes)", "hosts by network traffic received"),
    (
        r"(?:share|percentage|percent|fraction|proportion|part) of (?:the |this )(week|month)(?: with| where"
        r"| when| in which)?",
        r"percentage of the time this \1",
    ),
    (r"what (?:did|does|has) (\S+) suffer(?:ed)?(?: from)?", r"what went wrong on \1"),
    (r"(?:(?:the|what is the|what was the|on which|at which|at what) )?(?:date|moment) when", "when"),
    (r"laziest|idlest|calmest|sleepiest", "least busy"),
    (r"hungriest|greediest|thirstiest", "highest"),
    (
        r"^(?:(?:is|was) there |(?:did|do) we have |have we |got |has there been )?(?:anything|something)"
        r"(?: new| special| notable| interesting| noteworthy| to report| i should know)?"
        r"(?= (?:on|at|with|for|from|about|today|yesterday|this|last|since|in|during|overnight)\b)",
        "anything unusual",
    ),
    (
        r"how (?:bad|serious|severe|critical|big) (?:was|is) (?:it|that|this|that one|this one)(?= ?\??$)",
        "tell me more about that one",
    ),
    (r"emptiest", "lowest"),
    (r"(?:take|takes|took|taken) (?:the )?longest to (?:respond|answer|reply)", "had the highest latency"),
    (r"(?:top|topped|tops|max|maxed|maxes|peak|peaked|peaks) out(?: at)?", "peak"),
    (r"bottom(?:ed|s)? out(?: at)?", "lowest"),
    (r"(?:all[- ]time )?(?:high|peak) ?(?:mark|point|water mark|watermark)", "peak"),
    (r"low ?(?:mark|point|water mark|watermark)", "lowest"),
    (r"half (?:an )?hour", "30 minutes"),
    (r"(?:a )?quarter of an hour", "15 minutes"),
    (r"an hour and a half", "90 minutes"),
    (r"(?:the )?day b(?:e)?4 yesterday", "day before yesterday"),
    (r"(?:earlier|so far|already) today", "today"),
    (r"today so far", "today"),
    (r"(?:over|during|in) the (?:whole |entire )?day yesterday|all day yesterday|yesterday all day", "yesterday"),
    (r"yesterday'?s", "yesterday"),
    (r"today'?s", "today"),
    (r"(\d{1,2})(?::00)? (?:o'?clock )?in the morning", r"\1 am"),
    (r"(\d{1,2})(?::00)? (?:o'?clock )?(?:in the (?:afternoon|evening)|at night)", r"\1 pm"),
    (r"(\d{1,2})h(\d{2})", r"\1:\2"),
    (r"(\d{1,2})\.(\d{2}) ?(am|pm)", r"\1:\2 \3"),
    (r"([01]\d|2[0-4])([0-5]\d) ?(?:hours|hrs|h|z|utc)", r"\1:\2"),
    (r"(?:the )?(?:last|past) (?:24|twenty[- ]four) ?(?:hrs|hours|h)", "last 24 hours"),
    (r"(?:over ?night|last night)", "last night"),
    (r"load avg", "load average"),
    (r"five", "5"),
    (r"a hundred", "100"),
    (r"sixty", "60"),
    (r"twenty", "20"),
    (r"fifteen", "15"),
    (r"twelve", "12"),
    (r"eleven", "11"),
    (r"nine", "9"),
    (r"eight", "8"),
    (r"seven", "7"),
    (r"thirty", "30"),
    (r"ninety", "90"),
    (r"eighty", "80"),
    (r"fifty", "50"),
    (r"(?:disk|hard) ?drives?", "disk"),
    (r"(?:which|what) database(?! (?:server|host|machine|node|quer|metric|latenc|is used))", "which database server"),
    (r"(?:databases|dbs)(?! (?:server|host|machine|node|box))", "database servers"),
    (r"databases (?=(?:servers?|hosts?|machines?|nodes?|boxes))", "database "),
    (r"(?:in total )?(?:all together|altogether|combined|all in all)", "in total"),
)

# A group is tried after those before it: what one leaves, the next may take.
PHRASES: tuple[tuple[str, str], ...] = (
    *_INVENTORY,
    *_SIDES,
    *_TIMES,
    *_STATISTICS,
    *_QUALITY,
    *_ACTS,
    *_OTHERS,
)
