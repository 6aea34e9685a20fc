"""The only entry: `streamlit run Home.py`.

Imported by the server it is the ASGI app: pages, API, sign-in routes, schedule, security headers. Run as a script, on
each rerun and by tests, it draws the shell and the chosen page.
"""

from __future__ import annotations

import streamlit as st

if __name__ != "__main__":
    from lib.ui import validators

    validators.look_up()

    from lib.ui import entry, runtime

    try:
        from lib.api import hosts, server, sign_in

        routes = [*sign_in.routes(runtime.app), *server.routes(runtime.app)]
        middleware = [*server.middleware(entry.settings), *hosts.middleware(entry.settings)]
    except ImportError as error:
        # Pages need none of it: sessions then end with the tab, and the API is not there.
        entry.log.warning("routes not served", extra={"reason": str(error)})
        routes, middleware = [], []
    app = st.App(
        __file__,
        routes=routes,
        lifespan=entry.lifespan,
        middleware=middleware,
        on_script_error=entry.on_script_error,
    )
else:
    from lib.ui import shell

    shell.draw()
