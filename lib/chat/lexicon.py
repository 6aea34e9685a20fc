"""The words people use, and what each stands for. The first pattern that fits a stretch of text takes it."""

from __future__ import annotations

import re

from lib.chat.refusals import READ_ONLY
from lib.chat.signs import CUES, Sign


def _compiled(pairs: list[tuple[str, object]]) -> list[tuple[re.Pattern[str], object]]:
    return [(re.compile(rf"(?<![\w/-])(?:{pattern})(?![\w/-])"), meaning) for pattern, meaning in pairs]


_USE = (
    r"(?: (?:usage|use|used|busy|utili[sz]ation|load|share|consumption|activity|percentage|level|being used|in use))*"
)
_MEMORY = r"(?:memory|ram|mem)"
_NETWORK = r"(?:network|net|nic|ethernet)"
_AMOUNT = r"(?: (?:traffic|bytes|data|bandwidth|throughput|rate|speed|volume))*"

# Friendly words -> measure or metric. A tuple: could be any of them, so one has to ask.
THINGS: list[tuple[re.Pattern[str], str | tuple[str, ...]]] = _compiled(  # type: ignore[assignment]
    [
        (r"(?:5|five)[- ]min(?:ute)?s? (?:system )?load(?: average)?|load[ -]?(?:average )?5", "node_load5"),
        (r"(?:15|fifteen)[- ]min(?:ute)?s? (?:system )?load(?: average)?|load[ -]?(?:average )?15", "node_load15"),
        (
            r"(?:(?:1|one)[- ]min(?:ute)?s? )?(?:system )?(?<!cpu )(?<!processor )load(?:[ -]?1| averages?)?",
            "node_load1",
        ),
        (
            r"(?:cpus? )?(?:time )?(?:spent )?(?:io ?wait|i/o ?wait|waiting (?:for|on) (?:i/o|io|disks?))"
            r"(?: share| time)?",
            "cpu_iowait",
        ),
        (r"(?:cpus? )?(?:steal|stolen)(?: share| time)?", "cpu_steal"),
        (r"idle cpus?(?: time| share)?|cpus? idle(?: time| share)?|cpu idleness", "cpu_idle"),
        (r"user cpus?(?: time)?|cpus? (?:in )?user(?: mode| time)?", "cpu_user"),
        (r"(?:system|kernel) cpus?(?: time)?|cpus? (?:in )?(?:system|kernel)(?: mode| time)?", "cpu_system"),
        (rf"(?:cpus?|processors?){_USE}", "cpu_busy"),
        (
            rf"(?:free|available|unused|remaining|spare) {_MEMORY}"
            rf"|{_MEMORY} (?:available|free|left|remaining|headroom)",
            "node_memory_MemAvailable_bytes",
        ),
        (rf"(?:total|installed|physical) {_MEMORY}|{_MEMORY} (?:size|total|capacity)", "node_memory_MemTotal_bytes"),
        (rf"swap(?: space)?{_USE}", "swap_used"),
        (rf"{_MEMORY}{_USE}", "memory_used"),
        (
            r"(?:free|available|unused|remaining|spare) (?:disk(?: ?space)?|storage|space)(?: left| remaining)?"
            r"|(?:disk |storage )?space (?:still )?(?:left|remaining|free|available)"
            r"|(?:disk |storage )?space (?:is |was |will be )(?:still )?(?:left|free|available)"
            r"|disk space (?:is |was |remains "
            r")?(?:available|free|left)|"
            r"(?:disk|storage) "
            r"(?:is |was )?(?:available|free|left)",
            "node_filesystem_avail_bytes",
        ),
        (r"(?:total )?disk (?:size|capacity)|file ?system size", "node_filesystem_size_bytes"),
        (
            rf"(?:disks?|disc) (?:space|full(?:ness)?|fill level|usage|used|use){_USE}|(?:file ?systems?|"
            rf"storage){_USE}",
            "disk_space_used",
        ),
        (r"full(?:est)? (?:are |is |was |were )?(?:the |its )?(?:disks?|storage|file ?systems?)", "disk_space_used"),
        (r"(?:disks?|storage|file ?systems?) (?:is |are |was |were )?full(?:est)?", "disk_space_used"),
        (
            r"(?:disks?|disc) (?:io|i/o)(?: time)?|(?:disks?|disc) (?:busy|utili[sz]ation|activity|business)",
            "disk_busy",
        ),
        (r"(?:busy|utili[sz]ed) (?:are |is |was |were )?(?:the |its )?disks?|disks? utili[sz]ed", "disk_busy"),
        (
            rf"(?:disks?|disc) (?:reads?|reading){_AMOUNT}|(?:bytes "
            rf"|data )?(?:read )?from (?:the )?disks?",
            "disk_read",
        ),
        (
            rf"(?:disks?|disc) (?:writes?|writing|written){_AMOUNT}|(?:bytes |data )?(?:written |"
            rf"write )to (?:the )?disks?",
            "disk_written",
        ),
        (r"(?:disks?|disc)(?: (?:throughput|traffic))", ("disk_read", "disk_written")),
        (rf"(?:disks?|disc){_USE}", ("disk_space_used", "disk_busy", "disk_read", "disk_written")),
        (
            rf"{_NETWORK}(?: (?:traffic|bytes|data))? (?:in|receiv(?:e|ed|ing)|rx|downloads?|inbound|"
            rf"incoming|ingress){_AMOUNT}"
            rf"|(?:received?|incoming|inbound|downloaded?|ingress|rx) (?:{_NETWORK}|traffic|bytes|data|"
            rf"bandwidth){_AMOUNT}"
            rf"|{_NETWORK}? ?(?:traffic|bytes|bandwidth) (?:received|in)",
            "network_received",
        ),
        (
            rf"{_NETWORK}(?: (?:traffic|bytes|data))? (?:out|sent|sending|transmit(?:ted|ting)?|tx|"
            rf"uploads?|outbound|outgoing"
            rf"|egress){_AMOUNT}"
            rf"|(?:sent|outgoing|outbound|transmit(?:ted)?|uploaded?|egress|tx) (?:{_NETWORK}|traffic|"
            rf"bytes|data|bandwidth)"
            rf"{_AMOUNT}|{_NETWORK}? ?(?:traffic|bytes|bandwidth) (?:sent|out)",
            "network_sent",
        ),
        (r"rx|inbound|ingress", "network_received"),
        (r"tx|outbound|egress", "network_sent"),
        (r"reads", "disk_read"),
        (r"writes", "disk_written"),
        (r"receives?|received|receiving|downloads?|downloaded", "network_received"),
        (
            r"sends(?! (?:any |new )*(?:data|samples|metrics))|send|sent|transmits?|transmitted|uploads?|uploaded",
            "network_sent",
        ),
        (rf"(?:{_NETWORK}|traffic|bandwidth){_AMOUNT}{_USE}", ("network_received", "network_sent")),
        (
            r"(?<!network )(?<!receive )(?<!transmit )(?<!disk )(?<!read )(?<!write )(?<!tcp )(?<!udp )errors"
            r"(?= (?:on|of|for|at|in|by|from|yesterday|today|last|over|this|per|did|do|were|was|since|there|we|have"
            r"|now|right|currently|above|below|any)\b|\s{2,}| *[?(]| *$)|50\ds"
            r"|(?:http |server |request )(?:errors?|failures?)(?: rate| share| ratio| percentage)?"
            r"|5xx(?: errors?)?(?: rate| share)?"
            r"|(?:errors?|failure) (?:rates?|share|ratio|percentage)|failed requests|failing requests",
            "http_errors",
        ),
        (
            r"(?:db |database |sql )?quer(?:y|ies) (?:latency|latencies|durations?|times?|response times?)"
            r"|(?:database|db) latency",
            "db_query_duration_seconds_mean",
        ),
        (
            r"(?:http |request )?(?:latency|latencies|response times?|request (?:durations?|times?))",
            "http_request_duration_seconds_mean",
        ),
        (
            r"(?:http )?(?:requests?|hits per second|rps)(?: rate| count| traffic| volume"
            r"| throughput)?(?: (?:per|a) second)?|request (?:rate|count|volume|throughput)|throughput of requests",
            "http_requests",
        ),
        (
            r"(?:db |database |sql )?quer(?:y|ies) (?:rate|count|volume|throughput|load|traffic)"
            r"|(?:(?:db|database|sql) )?queries(?: (?:per|a) second)?|qps",
            "db_queries_total",
        ),
        (r"jobs? (?:completed|completions?|finished|done)|(?:completed|finished) jobs", "jobs_completed_total"),
        (r"cache hit (?:ratio|rate|share|percentage|percent)|hit ratio|hit rate", "cache_hit_share"),
        (r"queue(?: (?:depth|length|size|backlog))?|backlog", "queue_depth"),
        (r"full(?:est)?|filled up|filling up|fill(?:s)? up", "disk_space_used"),
        (r"(?:is|are|was|were) +(?:it +)?(?:up|down|alive|reachable|online)", "up"),
        (
            r"rebooted|booted|(?:last )?boot time|last (?:re)?boot|last restart(?:ed)?"
            r"|(?:was|were|been|got) restarted|uptime",
            "node_boot_time_seconds",
        ),
        (r"loaded", "node_load1"),
        (r"busy|busiest|busier(?= than| .{1,30}\bthan\b)", "cpu_busy"),
    ]
)

_HOST = r"(?:hosts?|machines?|servers?|nodes?|instances?|boxe?s?|systems?|computers?|vms?)"
_ANOMALY = (
    r"(?:anomal(?:y|ies|ous)|incidents?|outliers?|problems?|issues?|something (?:wrong|unusual|strange|odd)"
    r"|(?:anything|something|what) (?:happen(?:ed|s|ing)?|is happening|is going on)"
    r"|anything (?:wrong|unusual|strange|odd|suspicious)|unusual|strange|weird|abnormal(?:ities|ity)?|"
    r"troubles?|hiccups?|glitch(?:es)?|irregularit(?:y|ies)|disturbances?|disruptions?|acting up|misbehaved"
    r"|suspicious|"
    r"went wrong|go wrong|flag(?:ged)?|oddit(?:y|ies)|peculiarit(?:y|ies)|aberrations?|deviations?(?! of)|mishaps?"
    r"|odd|wrong|happened)(?: (?:things?|events?|behaviou?rs?|anomal(?:y|ies)))?"
)

SIGNS: list[tuple[re.Pattern[str], Sign]] = _compiled(  # type: ignore[assignment]
    [
        *CUES,
        (
            r"(?:is|are) (?:all|everything|things) (?:ok|okay|fine|well|good|healthy)|healthy|unhealthy|"
            r"health|slow|sluggish|overload(?:ed)?|stressed|saturated|under pressure|strained|swamped|broken"
            r"|failing|struggling|misbehaving|ok|"
            r"okay|fine|all right|all well",
            Sign.HEALTH,
        ),
        (
            r"what can you do|what can i ask(?: you)?|what do you (?:know|do)|how do (?:i|you) (?:use|ask|"
            r"work)|help(?: me)?",
            Sign.HELP,
        ),
        (r"who are you|what are you|examples?", Sign.HELP),
        (r"hi|hello|hey|good (?:morning|afternoon|evening|day)|howdy|greetings", Sign.GREETING),
        (r"thanks?(?: you)?(?: (?:very|so) much)?|thx|cheers|great|perfect|cool|nice", Sign.THANKS),
        (
            r"since when|how far back|how (?:old|fresh|recent|up to date|much (?:history|data (?:is there|"
            r"is stored|do (?:you|we) have|have (?:you|we))))|"
            r"what (?:time )?(?:range|span|period)"
            r"|(?:oldest|earliest|first|newest|latest|most recent|last) (?:samples?|data ?points?|data)"
            r"|when (?:did|does|do) (?:the |our )?(?:data|history|collection|recording"
            r"|monitoring)(?: of (?:the )?(?:data|metrics|samples))? (?:start|begin|end)"
            r"|(?:start|beginning|end) of (?:the )?(?:data|history)|data range|how long (?:is|"
            r"has) (?:the )?(?:history|data)"
            r"|how long have you|history|(?:start|begin|began|started) (?:sending|reporting|collecting|recording)"
            r"|last (?:hear|heard|seen|see|saw|reported|report|contact(?:ed)?|sent|came in|arrived?)"
            r"|(?:most )?recent(?:ly)? (?:heard|seen|reported)",
            Sign.SPAN,
        ),
        (
            r"which one|that one|this one|that anomaly|this anomaly|it happen|that happen|the (?:first|last"
            r"|same) one",
            Sign.LAST_ONE,
        ),
        (
            r"what about|how about|and what about|and also|and for|and on|and of|and|same (?:for|on)|the same"
            r"|also|but",
            Sign.FOLLOW,
        ),
        (
            r"why|behind|explain|explanation|(?:what|how) (?:caused|causes|is the (?:cause|reason))|"
            r"what is behind|reason(?: for)?"
            r"|cause of|caused?|tell me more(?: about)?|details?|more details?|what made|how come|contributed?",
            Sign.WHY,
        ),
        (rf"(?:how many|number of|count(?: of)?) {_ANOMALY}", (Sign.COUNT, Sign.ANOMALY)),
        (r"how much|how many bytes|(?:what |the )?(?:amount|volume|quantity) of", Sign.HOW_MUCH),
        (r"how many|number of|count(?: of)?|the number", Sign.COUNT),
        (
            r"(?:most|more) (?:severe|serious|important|significant|critical|extreme|dramatic)|worst|gravest"
            r"|nastiest|ugliest",
            Sign.WORST,
        ),
        (rf"(?:highest|top|largest|strongest|biggest) (?:scoring |scored )?{_ANOMALY}", (Sign.WORST, Sign.ANOMALY)),
        (r"critical|major|minor|warning", Sign.SEVERITY),
        (r"(?:newest|latest|most recent|last)(?= (?:anomal|incident|problem|issue|one))", Sign.NEWEST),
        (r"(?:oldest|earliest|first)(?= (?:anomal|incident|problem|issue|one))", Sign.OLDEST),
        (r"longest|how long", Sign.LONGEST),
        (r"what(?:'s| is) (?:happening|going on|up)(?: with| on)?", Sign.ANOMALY),
        (
            r"still (?:going on|open|ongoing|active|running)|ongoing|going on|open|active|unresolved|in progress",
            Sign.OPEN,
        ),
        (_ANOMALY, Sign.ANOMALY),
        (r"(?:anomaly )?scor(?:e|es|ed|ing)", Sign.ANOMALY),
        (r"on average|averages?|avg|mean|typical|typically|averaged", Sign.MEAN),
        (r"most", (Sign.MAX, Sign.MOST)),
        (r"least", (Sign.MIN, Sign.MOST)),
        (r"median|middle value", Sign.MEDIAN),
        (
            r"how (?:bad|large|big|slow|deep|long|far up)(?= .*\b(?:get|got|become|became|gotten|go|went)\b)"
            r"|(?:the )?(?:all[- ]time )?(?:record|ceiling)(?= (?:for|of|high|value))"
            r"|how high|max(?:imum|ima|imal)?|peak(?:ed|s|ing)?|highest|largest|biggest|greatest|top|"
            r"spike[ds]?|spiking|hottest|high"
            r"|maxed out|heaviest|strongest|hardest|worst",
            Sign.MAX,
        ),
        (
            r"floor(?= (?:of|for|value))|ascending|how low"
            r"|min(?:imum|ima|imal)?|lowest|smallest|quietest|low|bottom|trough|dip(?:ped)?",
            Sign.MIN,
        ),
        (
            r"summar(?:y|ies|ise|ize)|stat(?:s|istics)|overview|describe|tell me about|behave[ds]?|"
            r"how (?:was|were|did|has|have)|looked? like"
            r"|range|distribution|numbers? for|how (?:busy|full)|develop(?:ed)?|evolve[ds]?",
            Sign.SUMMARY,
        ),
        (
            r"increase[ds]?|gr(?:ow|ew|own|owth)|totals?|sum|altogether|added up|accumulated?|transferred|"
            r"overall amount",
            Sign.INCREASE,
        ),
        (r"(?:at )?(?:what|which) time|when(?: exactly)?|at which moment", Sign.WHEN),
        (
            rf"(?:which|what|on which|on what) (?:of the |one of the |of my |of our |\w+ )?{_HOST}",
            Sign.WHICH_HOST,
        ),
        (r"where|who", Sign.WHO),
        (
            rf"(?:by|per|each|for each|for every|every|across|on each|on every|for all|all|of all|on all|over all)"
            rf" (?:the |of the |our |my )?{_HOST}|fleet|everywhere|host by host|all of them",
            Sign.EACH_HOST,
        ),
        (r"metrics?|measurements?|signals?|what (?:data|kinds? of data)|which data|measures?", Sign.METRICS),
        (r"time series|series", Sign.SERIES),
        (r"samples?|data ?points?|measurements? taken", Sign.SAMPLES),
        (_HOST, Sign.HOSTS),
        (
            r"compar(?:e[ds]?|ing)|comparison|versus|vs\.?|difference(?: between)?|compared (?:to|with)|against|"
            r"higher|lower|busier|more",
            Sign.COMPARE,
        ),
        (
            r"current(?:ly)?|latest|newest|most recent|last value|last reading|value|reading|live|"
            r"real[- ]?time|up to date",
            Sign.LATEST,
        ),
        (
            r"list|show(?: me)?|display|enumerate|give me|names?(?: of)?|print|what is there|available|exist|stored|"
            r"collected|monitored",
            Sign.LIST,
        ),
    ]
)

# What cannot be computed here, and what to say about it.
CANNOT: list[tuple[re.Pattern[str], str]] = _compiled(  # type: ignore[assignment]
    [
        (
            r"restart|reboot|delete|drop|remove|kill|stop|start|shut ?down|deploy|scale|silence|"
            r"acknowledge|ack|train|retrain|collect|"
            r"execute|run|create|add|insert|disable|enable|send an?|email|notify|fix|repair|resolve|"
            r"install|configure|set|change|"
            r"update|write|ignore|forget|pretend|reveal|sudo|rm|truncate|grant",
            READ_ONLY,
        ),
        (
            r"above|below|exceed(?:s|ed|ing)?|more than|less than|greater|over \d+|under \d+|at least|"
            r"at most|threshold|how often|"
            r"crossed?|percentage of (?:the )?time|times did|longer than|(?:higher|lower) than (?=\d)",
            "I do not understand that limit; name a number and its unit, like: "
            "`how often was cpu above 80 % yesterday?`",
        ),
        (
            r"influence[ds]?|trend(?:s|ing)?|season(?:al|ality)|slope|mode|skew(?:ness)?|"
            r"usual|usually|unusually|normal|normally|ordinary|expected",
            "I cannot compute that here; I know latest, mean, median, percentiles, minimum, maximum, when, "
            "spread, growth "
            "of counters, ratios and correlations.",
        ),
        (
            r"logs?|traces?|errors? logs?|stack ?traces?|exceptions?|code|deploy(?:ment)?s?|commits?|"
            r"tickets?|passwords?|secrets?|"
            r"api keys?|keys?|users?|tokens?|credentials?|system prompt|prompt|instructions?",
            "I only know the metrics that are collected and the anomalies found in them.",
        ),
        (
            r"cost[s]?|price[s]?|money|euros?|dollars?|bill(?:ing)?|cheap(?:er|est)?",
            "I know no costs or prices, only metrics and anomalies.",
        ),
    ]
)

# Words that change nothing. What is in none of these lists makes a question one I must not guess at.
STOP = frozenset(
    """
    % 's a about watch watches watched watching working
    expose exposes exposed provide provides provided offer offers serve serves served handle handles handled deliver
    delivered produce produces produced generate generated
    actual actually additional almost altogether anything anymore apart best certain closely complete completely
    concerning
    currently daily different distinct entire especially exact exactly existing fairly following further general
    generally
    given going gone highly hourly
    individual instead interested item items entries entry elements lasting later mainly
    maybe monitored moreover mostly namely necessary newly others overall particular particularly perhaps plus
    precise precisely present previously prior probably rather recently regarding relevant
    respect respective roughly seem seems seen several significantly simply single somehow something specific
    specifically
    still strongly suddenly supposed sure taken terms total truly upon various visible within wondering
    believe check checked happen noticed notice observed saw think thought understand whatever everything
    everyone somebody someone anybody nobody regard regards context case cases kinds sorts types way ways
    across actually again all also among amount an answer any anyone approx approximately are
    around as ask at be been being between both but by byte bytes came can case combined come consume consumed
    could curious currently data day detected did do does doesn't doing don't done during each either else ever
    exactly experience experienced far figure figures find for found from gave gb get gets getting gib give
    given gmt go goes gone got had happen happening happens has have having her here his hit how hows i i'd
    i'm if in individually into is it it's its itself just kb kib kind know last lasted lasts let lets level
    levels like look looking looks made make many may mb me mean measured mib might mine moment monitoring more
    much must my namely nearly need now number numbers observed occur occurred occurs of off often on once one
    ones only or other our ours out over overall own part per percent percentage period please possible
    prometheus question quick quickly quite rate rates rather reach reached reaches reaching reading readings
    really recorded report reported respectively right roughly s same saw say second see seen shall she should
    show showed shows so some spent such system take tb tell than that that's the their them then there there's
    these they thing things this tho those though through tib time times to today together too total two under
    unit units until up upon us use used uses using utc values very via want wanted was we went were what what's
    whats when where whether which while who whole whose with within without wondering would yet you your yours
    """.split()  # noqa: SIM905
)

# What people say -> how exporters name it.
SYNONYMS = {
    "processes": "procs",
    "process": "procs",
    "errors": "errs",
    "error": "errs",
    "retransmits": "retrans",
    "retransmissions": "retrans",
    "retransmitted": "retrans",
    "interrupts": "intr",
    "dropped": "drop",
    "drops": "drop",
    "received": "receive",
    "transmitted": "transmit",
    "sent": "transmit",
    "written": "writes",
    "free": "avail",
    "available": "avail",
    "segments": "segs",
    "faults": "fault",
    "memory": "mem",
    "deep": "depth",
    "deeper": "depth",
    "deepest": "depth",
    "lengthy": "length",
}
