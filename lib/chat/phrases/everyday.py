"""Turns of everyday speech, and what they say plainly; in the order they were learnt, the first that fits wins."""

from __future__ import annotations

EVERYDAY: tuple[tuple[str, str], ...] = (
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
    (r"root (?:disk|partition|file ?system|fs|volume|mount ?point|drive)(?! s)", "root disk space"),
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
    (r"(which|who)( .{0,60}?)? more(?! than -?\d)", r"\1\2 most"),
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
