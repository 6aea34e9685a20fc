"""What a stretch of a question says about what is wanted, and the words for whatever is not about plain numbers."""

from __future__ import annotations

from enum import StrEnum


class Sign(StrEnum):
    """What a stretch of a question says about what is wanted."""

    HELP = "help"
    GREETING = "greeting"
    THANKS = "thanks"
    LATEST = "latest"
    MEAN = "mean"
    MAX = "max"
    MIN = "min"
    MEDIAN = "median"
    SUMMARY = "summary"
    INCREASE = "increase"
    WHEN = "when"
    WHICH_HOST = "which host"
    EACH_HOST = "each host"
    COUNT = "how many"
    LIST = "list"
    METRICS = "metrics"
    HOSTS = "hosts"
    SERIES = "series"
    SPAN = "span"
    ANOMALY = "anomaly"
    WORST = "worst"
    NEWEST = "newest"
    OLDEST = "oldest"
    LONGEST = "longest"
    OPEN = "open"
    WHY = "why"
    HEALTH = "health"
    LAST_ONE = "that one"
    FOLLOW = "follow-up"
    COMPARE = "compare"
    SEVERITY = "severity"
    HOW_MUCH = "how much"
    SAMPLES = "samples"
    MOST = "most"
    WHO = "who"
    GAPS = "gaps"
    RESETS = "resets"
    CONSTANT = "constant"
    STALE = "stale"
    DUPLICATES = "duplicates"
    INTERVAL = "interval"
    LABELS = "labels"
    CORRELATION = "correlation"
    RATIO = "ratio"
    ODD = "odd one out"
    FORECAST = "forecast"
    CHANGED = "changed"
    MODELS = "models"
    ALERTS = "alerts"
    AT_ONCE = "at once"
    MARKS = "marks"
    STDDEV = "stddev"
    SOURCES = "sources"
    QUALITY = "quality"
    OFTEN = "how often"
    LESS = "less"
    BY_HOW_MUCH = "by how much"
    HAVING = "having"
    KIND = "kind"
    WITHOUT = "without"
    GROWING = "growing"
    STATUS = "status"


_H = r"(?:hosts?|machines?|servers?|nodes?|instances?|boxe?s?|ones?|systems?)"

# Tried before all others; longer phrases first.
CUES: list[tuple[str, Sign | tuple[Sign, ...]]] = [
    (
        r"(?:no|zero|not any|without(?: any)?|free (?:of|from)(?: any)?"
        r"|(?:(?:did|do|does|have|has|had) not|(?:did|do|does|have|has|had)n't|never)"
        r"(?: (?:have|had|see|seen|show|shown))?(?: any| a single| an?)?)"
        r" (?:anomal(?:y|ies)|incidents?|problems?|issues?|troubles?)"
        r"|(?:anomaly|trouble|incident|problem)[- ]free",
        (Sign.ANOMALY, Sign.WITHOUT),
    ),
    (
        r"(?:is |are |was |were |been |has |have |had |keeps? |kept |on the )*(?:growing|climbing|rising|increasing"
        r"|creeping(?: up)?|trending (?:up|down)|going (?:up|down)|ramping(?: up)?|shrinking|decreasing|dropping"
        r"|falling"
        r"|declining|leaking|getting (?:higher|lower|bigger|smaller|worse|better|slower|faster|busier|fuller)|sinking"
        r"|on the rise)",
        Sign.GROWING,
    ),
    (
        r"(?:the )?(?:current |overall |general |health )?(?:status|state|condition|rundown)"
        r"(?: (?:report|summary|check))?"
        r"(?= (?:of|on|for)|[ ?]*$)|health ?(?:check|report|status)(?= (?:of|on|for)|[ ?]*$)"
        r"|how(?:'s| is| are| was| did| has| have)?\s+(?:(?:is|was|has|have|been|it|things?|everything)\s+)*"
        r"(?:doing|faring|feeling|holding up|getting on|getting along)"
        r"|(?:how(?:'s| is| are| was| has been)) (?=.*\b(?:doing|feeling|holding up|going|getting on"
        r"|getting along)\b)",
        Sign.STATUS,
    ),
    (r"(?:longest|greatest|largest) (?:duration|lasting)|longest[- ]running", Sign.LONGEST),
    (r"affect(?:ed|s)?|impact(?:ed|s)?|(?:have|had) an? (?:effect|impact)(?: on)?|effect", Sign.COMPARE),
    (r"(?:the )?(?:difference|change) (?:in|of|between)", (Sign.BY_HOW_MUCH, Sign.COMPARE)),
    (r"(?:the )?(?:total|overall|exact) (?:number|count) of|how many in total", Sign.COUNT),
    (
        r"(?:from )?when to when|from when (?:until|till)|until when|how long (?:do|have) (?:we|you) (?:have"
        r"|had|kept)",
        Sign.SPAN,
    ),
    (r"rank(?:ed|ing)?|sort(?:ed)?|order(?:ed)?(?= .*\bby\b)|leader ?board", (Sign.WHICH_HOST, Sign.EACH_HOST)),
    (
        r"how far apart|every how many (?:seconds|minutes)|how many (?:seconds|minutes) (?:are |is |lie |pass "
        r"|go by )?(?:between|apart)"
        r"|(?:collection|scraping|sampling) (?:is )?(?:regular|even)|regular(?:ly)? (?:collect|scrap|sampl)(?:ed"
        r"|ion|ing)"
        r"|(?:scrap(?:e|ing)|sampl(?:e|ing)|collection|polling|measurement) (?:interval|frequency|rate|period"
        r"|resolution|step)"
        r"|how (?:often|frequently) (?:is|are|was|were|do (?:we|you)|does)(?= .*(?:scrap|collect|sampl|poll"
        r"|measur|record|report|stor))"
        r"|(?:time )?(?:interval|spacing|resolution)(?: between samples)?|granularity|scraped|sampled|polled",
        Sign.INTERVAL,
    ),
    (
        r"(?:for )?(?:what|which) (?:share|percent(?:age)?|fraction|part|proportion) of(?: the time)?|"
        r"how (?:often|frequently)|(?:what )?(?:share|percent(?:age)?|fraction|part|proportion|how much) of (?:the )?"
        r"(?:time|readings|samples)|how many (?:times|readings|samples) (?:was|were|did|is)",
        Sign.OFTEN,
    ),
    (
        r"(?:which|what|how many) (?:of the |of our |of my )?(?:hosts?|machines?|servers?|nodes?"
        r"|instances?) (?:\w+ )?"
        r"(?:stopped|are not|aren't|no longer|are no longer|went|have stopped|do not|don't|are|is) (?:reporting"
        r"|silent|stale"
        r"|quiet|report|sending(?: data)?|down)",
        Sign.STALE,
    ),
    (
        r"(?:no|without(?: any)?) (?:new|recent|fresh|current) (?:values?|data|samples|points|readings)"
        r"|not (?:sending|reporting|delivering|providing)(?: any)?(?: new)?(?: data| samples)?(?: any ?more"
        r"| any longer)?"
        r"|stale(?: series| data)?|(?:has |have |had )?stopped (?:reporting|sending|being reported)(?: data)?|silent"
        r"|still (?:being )?(?:sending|reporting|reported|delivering|providing|sent|coming in)(?: (?:new )?(?:data"
        r"|samples|metrics|values))?"
        r"|no longer (?:reports?|reporting|reported|sends?|sending|updated)|not reporting|went (?:quiet|silent)"
        r"|gone quiet"
        r"|dead series|not (?:been )?updated|outdated|without (?:new|recent|fresh) (?:data|samples)|disappeared"
        r"|vanished",
        Sign.STALE,
    ),
    (
        r"interrupted|outages?(?: (?:of|in) (?:the )?(?:monitoring|collection|data|scraping))?|offline"
        r"|downtimes?|unreachable"
        r"|went dark|(?:los[et]|losing|lost) (?:any |some )?(?:data|samples|points|scrapes)"
        r"|completeness|complete"
        r"|incomplete|"
        r"gaps?(?: in (?:the )?(?:data|collection|series|history|monitoring))?|holes?(?: in (?:the )?(?:data"
        r"|history))?"
        r"|missing (?:data|samples|values|points|scrapes|measurements|intervals)|interruptions?|pauses?|drop-?outs?"
        r"|(?:data|scrape|scraping|collection|monitoring) (?:outages?|loss|is missing|was missing|missing)"
        r"|not scraped|lost data"
        r"|"
        r"data (?:incomplete|complete)|incomplete data|(?:is|are|was) (?:any|some) data missing|data (?:go "
        r"|went )?missing",
        Sign.GAPS,
    ),
    (
        r"(?:counters? )?(?:that )?(?:(?:was|were|been|have been|has been) )?resets?"
        r"|(?:was|were|been) reset|counters? (?:reset|restart(?:ed)?|beg[ai]n anew"
        r"|start(?:ed)? over|fell)"
        r"|(?:re)?start(?:ed)? (?:from|at) zero|back to zero",
        Sign.RESETS,
    ),
    (
        r"constant(?:ly)?|flat(?:[- ]?lin(?:e|es|ed|ing))?|never (?:change|changed|changes|vary|varied|varies"
        r"|move|moved)|stuck"
        r"|unchang(?:ed|ing)|(?:have|has|had)(?: not|n't) (?:changed|moved|varied)|(?:does|do"
        r"|did) not (?:change|vary|move)|(?:do|did|does)n't (?:change|vary|move)"
        r"|not (?:changing|varying)"
        r"|(?:always |only )?(?:the )?same values?(?: (?:all the time|always|over and over|constantly|forever"
        r"|every time))?"
        r"|frozen|no variation|invariant|always the same(?: value)?",
        Sign.CONSTANT,
    ),
    (
        r"duplicat(?:e|es|ed|ion|ions)(?: (?:samples?|points?|timestamps?|values?|moments?))?|(?:stored"
        r"|recorded) twice|twice(?= *[?.!]*$)|more than once(?= *[?.!]*$)",
        Sign.DUPLICATES,
    ),
    (
        r"data quality|quality(?: of (?:the |our )?data)?|(?:trust|rely on|depend on|believe) (?:the |this "
        r"|our |your )?(?:data|numbers|metrics|figures)|data (?:ok|okay|good|clean"
        r"|sound|healthy)",
        Sign.QUALITY,
    ),
    (
        r"correlat(?:e[sd]?|ion|ions|ed|ing)|(?:(?:is|are|was|were) )?related(?: to)?|relat(?:ion|ionship)"
        r"|move[sd]? (?:together|along)"
        r"|(?:tied|linked|connected|coupled|associated) (?:to|with)|(?:move[sd]? )?in (?:sync|step|line"
        r"|tandem)(?: with)?|hand in hand"
        r"|depend(?:s|ed|ent)? on|go(?:es)? (?:together|along)|(?:connection|link|association|dependency"
        r"|dependence) between|connected|linked"
        r"|pearson(?:'s r)?|coupled|follow(?:s|ed)?(?! (?:the )?(?:deploy|release|up))",
        Sign.CORRELATION,
    ),
    (
        r"ratio(?: of| between)?|divided by|relative to|proportion(?: of)?|in proportion to|times (?:as much"
        r"|more|larger|bigger)",
        Sign.RATIO,
    ),
    (
        r"odd(?:est)? one(?: out)?|odd (?:host|machine|server) out|outlier|outlying"
        rf"|(?:is|are|was|were|looks?|behaves?|behaved) (?:the )?(?:most |very |so |quite |really |much "
        rf"|clearly )?(?:different(?:ly)?|unlike"
        rf"|unusual) (?:from|than|to|compared (?:to|with))? ?(?:all )?(?:the )?(?:others?|rest|fleet|other {_H})"
        rf"|(?:unlike|differs?|differed|deviates?|deviated"
        rf"|differing) (?:the )?(?:most )?(?:from )?(?:all )?(?:the )?(?:others?|rest|fleet|other {_H})"
        r"|(?:is|are|was|were|does|do|did)(?: not|n't) (?:look |behave |act )?like (?:all )?(?:the )?(?:others?|rest)"
        r"|(?:stands? out|stood out)(?: from (?:all )?(?:the )?(?:others?|rest|fleet|crowd))?|most different"
        r"|differs? (?:the )?most|deviates? (?:the )?most"
        r"|deviated (?:the )?most|does(?: not|n't) (?:fit|belong)",
        Sign.ODD,
    ),
    (
        r"what(?:'s| is| was| has| have| had|) (?:chang(?:ed|ing)|different|new|shifted|moved)(?: most| the most)?"
        r"|(?:which|what) (?:metrics|series|things|signals|values) (?:have |has )?(?:changed|shifted|moved"
        r"|are different|differ)(?: (?:the )?most)?"
        r"|(?:has |did |have )?anything (?:changed?|different|new)|(?:biggest|largest|main|top|strongest"
        r"|most important) changes?"
        r"|any changes?|changes(?= (?:in|since|over|during|on|between|yesterday|today|after|last|this|of|$))"
        r"|list (?:of )?changes|did something change",
        Sign.CHANGED,
    ),
    (
        r"(?:anomaly )?detectors?|(?:anomaly )?(?:detection )?models?|(?:re)?trained|last training",
        Sign.MODELS,
    ),
    (
        r"alert(?:s|ing)?(?: rules?| manager)?|alarms?|alertmanager|firing|fired|paged|on-?call|silence[ds]?"
        r"|muted|snoozed"
        r"|notifications?",
        Sign.ALERTS,
    ),
    (
        r"at the same (?:time|moment|instant)|at once|simultaneous(?:ly)?|concurrent(?:ly)?|in parallel"
        r"|overlap(?:ping|ped|s)?"
        r"|coincid(?:e|ed|ing)"
        r"|at one time|together",
        Sign.AT_ONCE,
    ),
    (
        r"(?:last|latest|most recent|newest|any|which|what|how many|list|show)(?: (?:the|me"
        r"|all))* (?:deploy(?:ment)?s?|releases?|roll-?outs?|annotations?"
        r"|marks?|notes?|maintenance(?: windows?)?|events?)|what (?:was|were|got) deployed"
        r"|(?:did|was) (?:something|anything) (?:deployed|released|deploy)|annotations?|deployed|deploy(?:ment)?s?"
        r"|maintenance(?: windows?)?|roll-?outs?|releases?|released",
        Sign.MARKS,
    ),
    (
        r"standard deviations?|std\.? dev\.?|std(?:dev)?|variance|variab(?:le|ility)|volatil(?:e|ity)|spread"
        r"|fluctuat(?:e|es"
        r"|ed|ion|ions)"
        r"|vary|varies|varied|jitter|unstable|stable|steady",
        Sign.STDDEV,
    ),
    (
        r"(?:labels?|dimensions?|tags?)(?: (?:values?|names?|keys?))?|(?:values|different values) of (?:the )?label"
        r"|(?:which|what|how many|list|show|name)(?: me)?(?: the| all| all the)?(?: (?:different"
        r"|distinct|network|disk|storage|block|http|cpu|response))*\s+(?:devices?|mount ?points?|modes?"
        r"|status codes?|codes?|disks|file ?systems|interfaces|nics|cores)"
        r"(?= (?:does|do|did|has|have|are|is|was|were|exist|appear|occur|show|on|of|in|there|for)| *$)",
        Sign.LABELS,
    ),
    (r"status codes", Sign.LABELS),
    (
        r"(?:which|what|how many|on how many|from how many) (?:hosts?|machines?|servers?|nodes?"
        r"|instances?) (?:runs?|serves?|handles?|process(?:es)?"
        r"|measures?|have|has|report(?:s|ed)?|expose[sd]?|export(?:s|ed)?|provide[sd]?|send(?:s)?"
        r"|offer(?:s)?|carry)(?! (?:had |been |got |used |seen |shown )?(?:the |an? )?(?:most|least|highest"
        r"|lowest|smallest|largest"
        r"|biggest|greatest|worst|best|maximum|minimum|top))",
        Sign.HAVING,
    ),
    (
        r"(?:what|which) (?:kind|type|sort|unit)(?: of (?:metric|thing))?|(?:kind|type|unit) of|in which unit"
        r"|(?:is|are) .{0,60}\b(?:a|an) (?:counter|gauge|histogram)|counter or (?:a )?gauge|gauge or (?:a )?counter",
        Sign.KIND,
    ),
    (r"(?:data )?sources?|scrape targets?|prometheus(?:es| servers?)", Sign.SOURCES),
    (
        r"by how much|how much (?:more|less|higher|lower|busier|larger|bigger|smaller|slower|faster"
        r"|did .* (?:change|rise|fall|drop)|has .* (?:changed|risen|fallen))"
        r"|(?:what is |what was )?the (?:difference|change)|percent(?:age)? (?:change|difference)"
        r"|change[ds]?(?= (?:from|between|compared|since|after|in|over|by))",
        (Sign.BY_HOW_MUCH, Sign.COMPARE),
    ),
    (
        r"(?:rise|rose|risen|fell|fallen|went (?:up|down)|go (?:up|down)|gone (?:up|down)|worse|better"
        r"|chang(?:e|ed|ing))",
        Sign.COMPARE,
    ),
    (
        r"differ(?:s|ed)?|improve|degraded?|deteriorate[ds]?|worsen|(?:decreased|shrunk|shrank|improved"
        r"|worsened|jumped|climbed|dropped)"
        r"(?= (?:compared|since|from|vs|versus|by|after|between|against)\b| *[?]?$|\s{2,})",
        Sign.COMPARE,
    ),
    (
        r"busier|higher|larger|slower|worse|(?:quiet|calm|hott|cool|light|heavi|long|short|deep|full"
        r"|idl)er(?= than| .{1,30}\bthan\b)",
        Sign.COMPARE,
    ),
    (r"(?:less|lower|smaller|faster|better)(?= than| .{1,30}\bthan\b)", (Sign.COMPARE, Sign.LESS)),
    (
        r"(?:drop|fall|rise|decrease|shrink|jump|climb|improve|sink|slow down|speed up)"
        r"(?= .*\b(?:compared?|versus|vs|than|against)\b)",
        Sign.COMPARE,
    ),
    (r"than", Sign.COMPARE),
    (
        r"(?:(?:do |that |which )?(?:we|you|they)|(?:is|are|being|get|gets)) (?:collect(?:ed|ing)?|monitor(?:ed"
        r"|ing)?|store[d]?"
        r"|gather(?:ed)?|track(?:ed)?|keep|kept|watch(?:ed)?|ha(?:ve|s))",
        Sign.LIST,
    ),
]

# Any of these makes a question one about what is to come; times are then read as times ahead.
AHEAD = (
    r"\bwill\b|\bforecast(?:s|ed|ing)?\b|\bpredict(?:s|ed|ion|ions|ing)?\b|\bgoing to\b"
    r"|\bexpect(?:ed)?\b(?! value| range)|\brun(?:s|ning)? (?:out|full)\b"
    r"|\bwhen (?:does|do|is|are) .*\b(?:full|fill|reach|cross|hit|exceed|run|drop|fall|go|get|pass|below|above)"
    r"|\bprojected?\b|\bextrapolate\b|\bby when\b|\bhow soon\b"
    r"|\bhow (?:many (?:days|hours|weeks)|long) (?:(?:is|are) (?:left )?)?(?:until|till|before|left|remain)\b"
    r"|\b(?:days|hours|weeks|time) (?:left|remaining)\b|\bby (?:the end of|tomorrow|next|the coming)\b"
    r"|\bby (?:(?:this|next|coming) )?(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\bget full\b|\bfill(?:s)? up\b"
    r"|\bwhen\b.*\b(?:goes|drops|falls|gets|reaches|hits|crosses|exceeds) "
    r"|\bwhen\b.*\b(?:disks?|storage|space)\b.*\bfull\b(?!.*\b(?:was|were|did)\b)|\bwould .* be\b"
    r"|\bprojection\b|\bshall .* be\b|\bhow long until\b|\bestimated?\b"
)
AHEAD_WORDS = (
    r"will|forecast(?:s|ed|ing)?|predict(?:s|ed|ion|ions|ing)?|going to|expect(?:ed)?|run(?:s"
    r"|ning)? out(?: of)?|extrapolate|future"
    r"|projection|project(?:ed)?|by when|how soon|how long until|would|be|estimate[ds]?|likely|outlook|upcoming"
    r"|ahead|left|run(?:s|ning)?|how many (?:days|hours|weeks)|until|till|exhaust(?:ed)?"
)
