"""Words that only carry a question along: how something is said, never what is asked, of what, or when.

A word belongs here only if no question changes its answer without it. Negations, exceptions, units of time, commands,
and whatever a metric could be of or be split by (cached, virtual, external, daily, per user) stay unknown on purpose:
a question with one of them is turned down instead of answered as if it were not there. So do nouns that make another
thing of the next word: pull requests, a work queue.
"""

from __future__ import annotations

CARRIERS = frozenset(
    """
    able absolutely accept accepted accepting accepts according account accurate achieve achieved acquire actual ago
    ah aha allegedly already alright always amid among amongst anticipate anyhow anyway apparently appear appeared
    appears appreciate arrive arrived asap asked asking assume ate attain attained await aware away awful based
    basically believe belong belonging belongs bit boss bother bothering bring brings brought btw bud buddy bunch
    calculate calculated called calling came care carried carries carry chance chap check-in checking chewed chewing
    chief churned churning clear clocked clue colleague colleagues collection come comes coming comment compute
    computed concern concerned confirm confirmed considered considering consist contain contained contains could've
    course cover covers crazy crew crunched cya dang darn deal dealt dear decent descending determine determined dig
    digging display does doin dont dude easy eaten eating eats eh emitted encounter encountered encountering end ended
    ends enough er ever everybody evidently executed exhibit exhibited exhibiting exhibits experiencing expose eyeball
    eyeballing face faced facing fancy favor favour feel feeling feels fetch fetched fielded fielding folk folks
    followed fond forth fwiw fyi gang gather gathered general getting gimme glad glance gobbled gobbling good goodness
    gosh gotta gotten grab grateful guess guru guys had hafta haha hammered hammering hand happens happily hear heard
    hehe hello hence here's hiya hm hmm hmmm hogged hogging hold holding holds honest honestly hope hopefully hoping
    horrible hovered hovering how'd how's huge humble i'd i'll i've idea ideally idk imagine imo incl include included
    includes including indeed indicate indicated inform inquire inquiring insane inspect inspected instance interest
    interesting investigate investigating involve involved it'd jeez just keen keep keeping keeps kept kidding kinda
    kindly knew known knows lad ladies later learn leave let's liked likely literally logged lol look-up looked lookin
    looks lookup lot lots ma'am mad madam manage managed managing massive mate matter meaning meant meanwhile meeting
    mention mentioned mighty mild mine minute mounted move moving nasty naturally neat needed needing needs nite nope
    noted noting now's nuts obviously occurring offers offhand oh ok ok'd okey oncall one's onto oops otherwise ought
    outta pace pal particular per perform performing performs pick picked placed pleased plenty plss plz point pointer
    poor pretty problemo processed provide pulled pumped pumping put puts putting quickie quickly quote ran reach
    realise reality realize really reason recall reckon refer referring regards registered relate relevant remain
    remember remind replied replying report reports require required responded retrieve return returned returns
    reviewing rn rough say says scary scope scrape scrapes scraping sec seeing seek seemed sees sense sensible serving
    she'd she's short showing shows side sight silly sir sit sits sitting situation smth sneak soaked soaking solid
    somehow someone's somewhat soo soon sooo sorry sort sound sounds speak speaking spell spend spit spotted spotting
    stand standing stands stare stated stay stayed staying stays stick straight struggle stuff stumbled sucked sucking
    suddenly suffer suffered suffering suggest super suppose supposedly surely surprise swear sweet sweetheart tad
    taken taking talk talking tells tend tended tends terms terrible thank thankfully thanking thanx that'd that'll
    there'd there'll thereabouts they'd they're they've thing's thingies thingy thought thx tight till told toll took
    touched tracked tried troubleshoot trust truth trying tune tyvm ugh ugly uh um umm undergo undergoing undergone
    understood underwent use useful utilised utilized verify via viewed viewing visible wanna wanting way we'd we'll
    we're we've well went whaddup what'd what'll what're what've whatcha whatnot whatsoever where's wherever whichever
    whoa whomever why'd willing wish witness witnessed wonder wondered word worth wow wrap wud xx y'all ya'll yall
    yeah yep yes yikes yo you'd you're you've yours yup
    """.split()  # noqa: SIM905
)
