"""What is different in a window: every series against the time before and the same time of earlier days, ranked."""

import streamlit as st

from lib.auth.actor import Permission
from lib.errors import AppError
from lib.services.changes import TIMES
from lib.ui import cached, change_view, controls, guard, links, runtime
from lib.ui.text import plain

actor = guard.require(Permission.VIEW)
app = runtime.app()
DEFAULT_RANGE = "1h"
CARDS = (6, 12, 24)
# As the address has it.
BEFORE = {f"{times}x": times for times in TIMES}


def view() -> None:
    sources = cached.sources(app, actor)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # To the minute: every click would otherwise be about another time, and compare everything anew.
        window = controls.window_picker(app.clock().replace(second=0, microsecond=0), default=DEFAULT_RANGE)
        source_id = controls.source_picker(sources) if len(sources) > 1 else None
        host = controls.host_picker(cached.all_hosts(app, actor, source_id))
        times = st.selectbox(
            "Time before",
            list(BEFORE),
            index=list(BEFORE).index("4x"),
            key="times",
            bind="query-params",
            width=120,
            help="What the window is compared with: the time before it, so many times as long.",
        )
        shown = st.selectbox("Charts", CARDS, key="charts", bind="query-params", width=90)
    try:
        found = cached.changes(app, actor, window, source_id, host, BEFORE.get(times, 4), shown or CARDS[0])
    except AppError as error:
        st.error(plain(error.message), icon=":material/error:")
        return
    if not found.changes:
        change_view.nothing(found)
        return
    change_view.summary(found)
    change_view.cards(found)
    st.subheader(f"{len(found.changes):,} on the list", anchor=False)
    change_view.table(found)
    st.download_button(
        "CSV",
        lambda: app.changes.export(actor, window, source_id=source_id, host=host, times=BEFORE.get(times, 4)),
        f"changes-{window.start:%Y%m%dT%H%M}.csv",
        "text/csv",
        key="changes_csv",
        icon=":material/download:",
        on_click="ignore",
        help="The thousand strongest, with their numbers.",
    )
    change_view.method(found)


st.title("What changed?", icon=":material/difference:")
if cached.metrics(app, actor):
    view()
else:
    st.info(
        "Connect your Prometheus, or load the demo history.", title="Nothing collected yet", icon=":material/database:"
    )
    links.to("pages/operate/sources.py", "Open sources", icon=":material/add_link:")
