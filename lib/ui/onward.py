"""The way on: from a dataset to its story, from what was suggested to a pipeline, from there to a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.services.datasets import Listed
from lib.training.plan import Plan
from lib.ui import links, refusal, state
from lib.ui.pipeline_draft import Draft

if TYPE_CHECKING:
    from lib.app import App

DATASETS, PIPELINES, TRAINING = "pages/learn/datasets.py", "pages/learn/pipelines.py", "pages/learn/training.py"


def of_dataset(one: Listed) -> None:
    """Where a dataset leads: each one click away, and about this dataset."""
    about = {"dataset": str(one.id)}
    with st.container(horizontal=True):
        links.to(
            DATASETS, "Story and suggestions", icon=":material/lightbulb:", query={**about, "dataset_part": "Profile"}
        )
        links.to(PIPELINES, "Build a pipeline", icon=":material/account_tree:", query=about)
        links.to(TRAINING, "Train a model", icon=":material/exercise:", query=about)


def of_suggestions(app: App, actor: Actor, one: Listed, plan: Plan) -> None:
    """What was suggested as a pipeline to look through, or trained as it is."""
    name = app.pipelines.free_name(actor, f"{plan.target} of {one.name}")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Build this pipeline",
            icon=":material/account_tree:",
            type="primary",
            key="story_pipeline",
            disabled=not actor.may(Permission.MAKE_PIPELINES),
            help="Opens the steps and models in the plan as cards and graph; nothing is saved or trained yet.",
        ):
            state.pipeline_drafts()[None] = Draft(plan, one.id, one.name, one.head.hash, name=name)
            links.go(PIPELINES)
        if st.button(
            "Train it as it is",
            icon=":material/play_arrow:",
            key="story_train",
            disabled=not (actor.may(Permission.MAKE_PIPELINES) and actor.may(Permission.RUN_TASKS)),
            help="Saves the plan as a pipeline and starts a training of it.",
        ):
            with refusal.shown():
                kept = app.pipelines.save(actor, plan, one.id, one.head.hash, name=name)
                run = app.pipelines.train(actor, kept.id)
                links.go(TRAINING, {"run": str(run.id)})
