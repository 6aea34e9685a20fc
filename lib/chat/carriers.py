"""Words that only carry a question along: how something is said, never what is asked, of what, or when.

A word belongs here only if no question changes its answer without it. Negations, exceptions, units of time, commands,
and whatever a metric could be of or be split by (cached, virtual, external, daily, per user) stay unknown on purpose:
a question with one of them is turned down instead of answered as if it were not there. So do nouns that make another
thing of the next word: pull requests, a work queue.
"""

from __future__ import annotations

CARRIERS = frozenset(
    """
    able absolutely accept accepted accepting accepts according account accurate achieve achieved achieving
    acquire actual advise aforementioned aforesaid afraid ago ah aha allegedly already alright always amazing
    amid amidst among amongst amounted analyse analysed analyze analyzed analyzing anew annoyed annoying
    anticipate anyhow anyway anyways apparently appear appearance appeared appearing appears applicable
    appreciate arise arisen arises arose arrive arrived asap ascertain asked asking assess assessed assessing
    associated assume ate attach attached attain attained attaining attribute attributed await aware away
    awesome awful based basically beautiful became become becomes becoming behave believe belong belonging
    belongs bit boss bother bothering brief brilliant bring brings brought btw bud buddy bunch burning burnt
    calculate calculated calculation calculations called calling came care carried carries carry carrying catch
    categorised categorized caught chance chap check-in checking chewed chewing chief churned churning cite
    cited citing classified clear clock clocked clocking clue coefficient colleague colleagues collection come
    comes coming commence commenced comment comprise comprised comprises compute computed concern concerned
    concerns conduct conducted confirm confirmed confused consider considered considering consist consume
    consumes consuming contain contained containing contains continue continued continues correspond
    corresponding corresponds could've course cover covers crazy crew cropped crunch crunched crunching cya dang
    darn deal dealt dear decent deem deemed demonstrate demonstrated derive derived descending describe
    described detailed determine determined determines dig digging discover discovered discussed dish dished
    display displayed displays does doin doings dont dude e.g easy eaten eating eats eh emerge emerged emerges
    emit emitted emitting employ employed encompass encompasses encounter encountered encountering end ended
    ends endure endured enough entail entailed entails er evaluate evaluated evaluating ever everybody evidence
    evidently evolve examine examined examining excellent execute executed executes executing exhibit exhibited
    exhibiting exhibits experiencing explore explored expose expressed extent eyeball eyeballing face faced
    facing fancy fantastic fared faring favor favour featured feel feeling feels fetch fetched fielded fielding
    folk folks followed fond forth friend friends furnish furnished furthermore fwiw fyi gang gather gathered
    general generate generating getting gimme gist glad glance glimpse gobbled gobbling good goodness gosh gotta
    gotten grab graded grateful guess guru guys had hafta haha hammered hammering hand happening happens happily
    hear heard hehe hello hence here's herein hint hints hiya hm hmm hmmm hogged hogging hold holding holds
    honest honestly hope hopefully hoping horrible hover hovered hovering hovers how'd how's huge humble i'd
    i'll i've i.e idea ideally identified identify idk imagine imo impressed impressive incl include included
    includes including incredible indeed indicate indicated inform inquire inquiring insane inspect inspected
    inspecting instance interest interested interesting interests investigate investigating involve involved
    it'd jeez just keen keep keeping keeps kept kidding kinda kindly knew known knows lad ladies lain later
    learn learnt leave let's lie lies liked likely literally located logged lol look-up looked lookin looks
    lookup lot lots love lovely ma'am mad madam manage managed managing manifest manifested massive mate matter
    matters meaning meant meanwhile meeting mention mentioned mighty mild mind mine minute mounted move moving
    myself name named nasty naturally neat needed needing needs nevertheless nite nonetheless nope notch notched
    noted notice noticing noting now's numeric numerical nuts obtain obtained obtaining obviously occupied
    occupies occupy occupying occurring offering offers offhand oh ok ok'd okey oncall one's onto oops operate
    operated operates otherwise ought ourselves outline outlined outlining outta owned pace pal particular peek
    peeking per perform performing performs perhaps persist persisted perspective pertain pertaining pertains
    pertinent pick picked placed plainly pleased plenty plss plz point pointer poor possess possessed possesses
    posted posting prefer preferred presented pretty problemo proceed proceeded proceeding processed proved
    provide pulled pumped pumping pushed pushing put puts putting quantified quantify quickie quickly quote
    quoted quoting rack racked raised raises ran reach realise reality realize really reason recall recap
    recapped recapping reckon recognise recognised recognize recognized refer referring regard regarded regards
    registered relate relates relevant remain remained remember remind replied replying report reports represent
    represents require required requiring respect responded result resulting results retrieve return returned
    returns reviewed reviewing ridiculous rn rough said say saying says scary scope scrape scrapes scraping sec
    seeing seek seemed sees sense sensible serving she'd she's short showing shows side sight sign signs silly
    simple sir sit sits sitting situation skim smth sneak soaked soaking solid somehow someone's somewhat soo
    soon sooo sorry sort sound sounds speak speaking specified specify specifying spell spend spit spotted
    spotting stand standing stands stare stated stating stay stayed staying stays stick straight struggle
    studied study studying stuff stumbled sucked sucking suddenly suffer suffered suffering suggest super
    supplied suppose supposedly surely surfaced surprise surprised surprising swear sweet sweetheart tad taken
    taking talk talking tells tend tended tends terms terrible thank thankfully thanking thanx that'd that'll
    themselves there'd there'll thereabouts thereby therefore thereof they'd they're they've thing's thingies
    thingy thought threw throw throwing thrown throws thus thx tight till told toll took tot totted touched
    tracked transpire transpired tried troubleshoot trust truth try trying tune turned tyvm ugh ugly uh um umm
    undergo undergoing undergone understanding understood undertake undertaken undertook underwent unfolded use
    useful utilised utilized verify via view viewed viewing visible wanna wanting way we'd we'll we're we've
    well went whaddup what'd what'll what're what've whatcha whatnot whatsoever where's wherever whichever
    whilst whoa whom whomever why'd willing wish wished witness witnessed wonder wondered wonderful word worried
    worth wow wrap wud xx y'all ya'll yall yeah yep yes yield yielded yielding yikes yo you'd you're you've
    yours yourself yup
    """.split()  # noqa: SIM905
)
