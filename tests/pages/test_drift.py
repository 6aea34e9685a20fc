from __future__ import annotations

from collections.abc import Callable

from lib.app import App
from lib.auth.actor import Role
from lib.services.retraining import When
from lib.settings import TaskMode
from tests.registry.kept import ANALYST, OPERATOR, VIEWER, register
from tests.services.test_drifting import asked, dataset, labels, table
from tests.services.test_retraining import brought, finished, in_production
from tests.training.tables import churn

PAGE = "pages/learn/drift.py"


def watched(app: App) -> None:
    from lib.drift import reference

    register(app, reference=reference.of_frame(table(), labels(600)))
    app.models.promote(OPERATOR, "flowers", 1)


def test_without_a_model_or_a_reference_it_names_the_next_step(app: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert "No model yet" in str(page.info[0].proto)
    register(app)
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    page = open_page(PAGE, Role.ANALYST)
    assert "without the distributions" in str(page.info[0].proto)
    page.file_uploader[0].set_value(("train.csv", table().to_csv(index=False).encode(), "text/csv"))
    page.button(key="drift_reference_send").click().run()
    task = app.drifting.last_task(ANALYST, "flowers", 1)
    assert task is not None
    app.runner.wait(task.id or 0, 60)
    page.run()
    assert not page.exception
    assert "Not checked yet" in str([one.proto for one in page.info])


def test_a_moved_world_is_told_in_words_by_column_and_over_time(app: App, open_page: Callable, clock) -> None:  # type: ignore[no-untyped-def]
    watched(app)
    asked(app, table(seed=1))
    app.drifting.check(ANALYST, "flowers", 1)
    clock.advance(hours=30)
    asked(app, table(1.5, seed=2), 0.95)
    page = open_page(PAGE, Role.ANALYST)
    assert not page.exception
    page.button(key="drift_check").click().run()
    assert not page.exception
    assert "no longer distributed as in training" in page.error[0].value
    frame = page.dataframe[0].value
    assert frame["column"].tolist()[0] == "prediction"
    assert set(frame["state"]) == {"▲ drift"}
    assert len(page.get("plotly_chart")) == 1
    assert len(page.dataframe) == 2
    assert any("made elsewhere" in one.value for one in page.caption)
    assert open_page(PAGE, Role.VIEWER).button(key="drift_check").disabled
    assert app.drifting.asked(VIEWER, "flowers", 1) == 1200


def test_limits_of_the_address_are_a_trial_and_a_dataset_is_compared_by_version(app: App, open_page: Callable) -> None:
    watched(app)
    asked(app, table(0.4, seed=1))
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    page = open_page(PAGE, Role.ANALYST, {"drift_watch": "3.0", "drift_from": "4.0", "drift_with": "A dataset"})
    assert any("a check is a trial" in one.value for one in page.caption)
    assert "No dataset yet" in " ".join(str(one.proto) for one in page.info)
    page.button(key="drift_check").click().run()
    assert app.drifting.checks(VIEWER, "flowers", 1)[0].kind == "tried"
    assert "tried with 3 and 4" in str(page.success[0].proto)
    number = dataset(app, table(0.0, 300))
    dataset(app, table(2.0, 300), into=number)
    page.run()
    page.button(key="drift_dataset_send").click().run()
    app.runner.wait(app.drifting.last_task(ANALYST, "flowers", 1).id or 0, 60)  # type: ignore[union-attr]
    page.run()
    assert not page.exception
    assert app.drifting.checks(VIEWER, "flowers", 1)[0].report["limits"][:2] == [3.0, 4.0]
    assert "the dataset later" in str([one.proto for one in (*page.success, *page.warning, *page.error)])
    page.number_input(key="drift_from").set_value(1.0).run()
    page.button(key="drift_check").click().run()
    assert any("do not go together" in one.value for one in page.error)


def test_it_is_trained_again_at_a_click_or_by_itself_once_data_is_newer(app: App, open_page: Callable) -> None:
    number = in_production(app)
    page = open_page(PAGE, Role.ANALYST)
    assert page.button(key="drift_again").disabled  # nothing newer to learn from
    brought(app, churn(160), into=number)
    page.run()
    page.selectbox(key="drift_when_churn_never").set_value(When.DRIFT).run()
    assert app.retraining.when(VIEWER, "churn") is When.DRIFT
    page.button(key="drift_again").click().run()
    assert not page.exception and not page.error
    finished(app)
    assert [row.version for row in app.models.versions(VIEWER, "churn")] == [2, 1]
    page.run()
    assert any("Version 2 has learnt from the newest version" in one.value for one in page.caption)
    assert open_page(PAGE, Role.VIEWER).button(key="drift_again").disabled
