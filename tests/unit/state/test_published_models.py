"""Published models, on both databases."""

from __future__ import annotations

import pytest
from state_values import published

from bestiary.errors import Conflict, ModelNotFound
from bestiary.schemas.publishing import CanaryRules, CanaryState
from bestiary.state.canaries import Canaries
from bestiary.state.published_models import PublishedModels

MODEL = published()


@pytest.fixture
def models(database):
    return PublishedModels(database)


@pytest.fixture
def canaries(database):
    return Canaries(database)


def test_a_model_is_kept_as_it_was_published(models):
    models.add(MODEL)

    assert models.get(MODEL.id) == MODEL
    assert models.list() == (MODEL,)


def test_publishing_again_changes_nothing(models):
    models.add(MODEL)
    version = models.version()

    models.add(MODEL)

    assert models.version() == version
    assert models.list() == (MODEL,)


def test_another_model_under_the_id_is_refused(models):
    models.add(MODEL)

    with pytest.raises(Conflict):
        models.add(published(tokens=1))
    assert models.get(MODEL.id) == MODEL


def test_a_deleted_model_is_gone_for_good(models):
    models.add(MODEL)

    assert models.delete(MODEL.id) == MODEL

    models.add(MODEL)  # a killed trainer's successor publishes again
    assert models.list() == ()
    for call in (models.get, models.delete):
        with pytest.raises(ModelNotFound):
            call(MODEL.id)


@pytest.mark.parametrize("id", ["ft:none", "", "a\0b", "\ud800"])
def test_a_model_that_is_not_there_is_not_found(models, id):
    for call in (models.get, models.delete):
        with pytest.raises(ModelNotFound):
            call(id)


def test_the_version_tells_of_every_change(models):
    versions = [models.version()]
    models.add(MODEL)
    versions.append(models.version())
    models.add(published("ft:other"))
    versions.append(models.version())
    models.delete(MODEL.id)
    versions.append(models.version())

    assert len(set(versions)) == 4
    assert [model.id for model in models.list()] == ["ft:other"]


ASKED = {
    CanaryState.RUNNING: ("base", "candidate"),
    CanaryState.PROMOTED: ("candidate",),
    CanaryState.ROLLED_BACK: ("base",),
}


@pytest.mark.parametrize("state", CanaryState)
@pytest.mark.parametrize("role", ["base", "candidate"])
def test_a_model_that_an_alias_asks_is_not_deleted(models, canaries, state, role):
    models.add(MODEL)
    names = {"base": "gecko", "candidate": "otter"} | {role: MODEL.id}
    canaries.start("pets", **names, rules=CanaryRules())
    canaries.move("pets", step=0, weight=0.5, state=state, reason="test")

    if role in ASKED[state]:
        with pytest.raises(Conflict, match="'pets'"):
            models.delete(MODEL.id)
        canaries.end("pets")
    models.delete(MODEL.id)

    assert models.list() == ()
