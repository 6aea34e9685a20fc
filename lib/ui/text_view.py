"""How a text is given, and how what was read in it looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
import streamlit as st

from lib.chat.events import Done, Error, Event, Text, Waiting
from lib.services.assistant_privacy import Preview
from lib.text.analysis import OFFLINE, Analysis, LogStory, Point, Wanted
from lib.text.logs import looks_like_log
from lib.ui import chat_privacy, state
from lib.ui.text import plain

NAMES = {
    Wanted.SENTIMENT: "Tone",
    Wanted.SUMMARY: "Summary",
    Wanted.KEY_PHRASES: "Key phrases",
    Wanted.ENTITIES: "Names and numbers",
    Wanted.CLASSES: "Labels",
    Wanted.LOG: "Log lines",
}
_ENGINES = {"offline": "Offline engine", "gemini": "Gemini", "openai": "OpenAI"}
_TONES = {
    "positive": (":material/sentiment_satisfied:", "green"),
    "neutral": (":material/sentiment_neutral:", "gray"),
    "negative": (":material/sentiment_dissatisfied:", "red"),
}
_PROSE = (Wanted.SENTIMENT, Wanted.SUMMARY, Wanted.KEY_PHRASES, Wanted.ENTITIES)
_MOST_MB = 4


def where(leaves: str) -> None:
    """Whether the text stays here, before anything is pressed."""
    if leaves:
        st.caption(f":material/cloud_upload: Sent to {plain(leaves, 300)}.")
    else:
        st.caption(":material/lock: Nothing leaves this machine.")


def given(leaves: str) -> tuple[str, list[Wanted], list[str], bool]:
    """Text, what is wanted of it, labels to choose from, and whether it is to stay on this machine."""
    typed = st.text_area(
        "Text or log lines",
        key="text_text",
        height=220,
        placeholder="Paste an incident report, a ticket, or ten thousand log lines.",
    )
    file = st.file_uploader("or a text file", ["txt", "log", "md"], key="text_file", max_upload_size=_MOST_MB)
    text = typed or (_decoded(file.getvalue()) if file is not None else "")
    guess = [Wanted.LOG] if looks_like_log(text) else list(_PROSE)
    wanted = st.pills(
        "Look for",
        list(NAMES),
        selection_mode="multi",
        default=guess,
        # Another kind of text is another question.
        key=f"text_wanted_{'log' if guess[0] is Wanted.LOG else 'prose'}",
        format_func=NAMES.__getitem__,
        width="stretch",
    )
    labels = ""
    if Wanted.CLASSES in wanted:
        labels = st.text_input(
            "Labels",
            "network, disk, memory, database, deploy, security",
            key="text_labels",
            help="Two or more, with commas. Labels may bring words of their own, with semicolons between them: "
            "`network: packets, dns; disk: inode`.",
        )
        if sum(bool(one.strip()) for one in _labels(labels)) < 2:
            st.caption(":material/info: Give two labels at least; there is nothing to choose from otherwise.")
    offline = True
    if leaves:
        offline = st.toggle("Keep it on this machine", key="text_offline", help=f"Otherwise it is sent to {leaves}.")
    return text, list(wanted), _labels(labels), offline


def _labels(typed: str) -> list[str]:
    return typed.split(";" if ";" in typed else ",")


def look_first(shown: Preview | None) -> None:
    """A way to see, before anything is pressed, every word that would be sent."""
    if shown is None:
        return
    size = sum(len(words) for _, words in shown.messages)
    with st.popover(f"See what is sent: {size:,} characters", icon=":material/cloud_upload:", key="text_preview"):
        chat_privacy.before(shown, "text")


def nothing_yet() -> None:
    st.caption("Texts are read and forgotten: nothing of them is stored.")


def last(text: str) -> bool:
    """Draw what was found in this very text before; whether there was something."""
    read = state.reading_of(text)
    if read is not None:
        found(read)
    return read is not None


def found(read: Analysis) -> None:
    """Everything that was found, each with its confidence."""
    for note in read.notes:
        st.info(plain(note, 400), icon=":material/info:")
    engine = _ENGINES.get(read.engine, read.engine)
    size = f"{read.words:,} {'word' if read.words == 1 else 'words'}"
    st.caption(f":material/smart_toy: Read by: {plain(engine)} · {size}, {read.characters:,} characters.")
    if read.log is not None:
        _log(read.log)
    if read.sentiment is not None:
        _tone(read.sentiment, read.sentences or ())
    if read.summary:
        st.subheader("Summary", anchor=False)
        for point in read.summary:
            st.markdown(f"- {plain(point.text, 1000)}")
        if read.engine == OFFLINE:
            st.caption("Sentences of the text itself: those that share most with the others.")
    if read.classes is not None:
        st.subheader("Labels", anchor=False)
        _points(read.classes, "text_classes", "Label", "Because of", [", ".join(one.because) for one in read.classes])
    if read.key_phrases:
        st.subheader("Key phrases", anchor=False)
        _points(read.key_phrases, "text_phrases", "Phrase", measure="Weight")
    if read.entities is not None:
        st.subheader("Names and numbers", anchor=False)
        if read.entities:
            _points(read.entities, "text_entities", "In the text", "Kind", [one.kind for one in read.entities])
        else:
            st.caption("None found.")


def _tone(tone: Point, sentences: Sequence[Point]) -> None:
    icon, colour = _TONES.get(tone.text, _TONES["neutral"])
    st.subheader("Tone", anchor=False)
    st.markdown(f"{icon} :{colour}-badge[{plain(tone.text)}] confidence {tone.confidence:.0%}")
    if len(sentences) > 1:
        with st.expander("Sentence by sentence", icon=":material/format_list_bulleted:"):
            _points(sentences, "text_sentences", "Sentence", "Tone", [one.kind for one in sentences])


def _points(
    points: Sequence[Point],
    key: str,
    heading: str,
    other: str = "",
    values: Sequence[str] | None = None,
    measure: str = "Confidence",
) -> None:
    table = pd.DataFrame({heading: [one.text for one in points]})
    if values is not None:
        table[other] = list(values)
    table[measure] = [round(one.confidence, 2) for one in points]
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        alt=f"{heading}, with {measure.lower()}",
        column_config={
            heading: st.column_config.TextColumn(heading, width="large"),
            measure: st.column_config.ProgressColumn(measure, min_value=0, max_value=1, format="percent"),
        },
    )


def _log(log: LogStory) -> None:
    st.subheader("Log lines", anchor=False)
    for sentence in log.story:
        st.markdown(f"- {plain(sentence, 600)}")
    table = pd.DataFrame(
        {
            "count": kind.count,
            "level": kind.level,
            "template": kind.template,
            "first": kind.first or f"line {kind.first_line:,}",
            "last": kind.last or f"line {kind.last_line:,}",
            "example": kind.example,
        }
        for kind in log.kinds
    )
    st.dataframe(
        table,
        hide_index=True,
        key="text_log",
        alt="Kinds of log line, the most frequent first",
        column_config={
            "count": st.column_config.NumberColumn("Lines", format="localized", width=80),
            "level": st.column_config.TextColumn("Level", width=80),
            "template": st.column_config.TextColumn("Kind of line", help="A star stands for what differs."),
            "first": st.column_config.TextColumn("First"),
            "last": st.column_config.TextColumn("Last"),
            "example": st.column_config.TextColumn("Example"),
        },
    )
    if len(log.kinds) < log.total:
        st.caption(f"{len(log.kinds)} of {log.total:,} kinds: the most frequent, and errors.")


def stream(events: Iterator[Event], into: list[Event]) -> Iterator[str]:
    """Words for st.write_stream; everything is kept in `into` as well."""
    busy = st.empty()
    for event in events:
        if isinstance(event, Waiting):
            busy.caption(":shimmer[Waiting for the language model]")
            continue
        into.append(event)
        if isinstance(event, Text):
            busy.empty()
            yield event.text
    busy.empty()


def ended(events: Sequence[Event]) -> None:
    for event in events:
        if isinstance(event, Error):
            st.error(plain(event.message), icon=":material/error:")
        elif isinstance(event, Done):
            chat_privacy.after(event.sent, "text", tools=False)
            st.caption(
                f":material/smart_toy: Written by {plain(_ENGINES.get(event.provider, event.provider))}. "
                "Check it before you send it: nothing in it was looked up."
            )


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
