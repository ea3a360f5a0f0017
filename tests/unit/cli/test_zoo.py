"""`bestiary zoo`: what there is, and that training is the recipe's own process."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from bestiary.cli import zoo
from bestiary.cli.main import app
from bestiary.errors import NotFound


def test_list_names_every_recipe_and_its_card() -> None:
    result = CliRunner().invoke(app, ["zoo", "list"])
    assert result.exit_code == 0
    for model in zoo.recipes():
        assert model in result.output


def test_every_recipe_has_a_module_of_its_name() -> None:
    assert "translator-gru-attention" in zoo.recipes()
    assert not [name for name in zoo.recipes() if "_" in name]


def test_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match="translator-gru-attention"):
        CliRunner().invoke(app, ["zoo", "train", "elephant"], catch_exceptions=False)


def test_less_than_one_step_is_refused() -> None:
    result = CliRunner().invoke(app, ["zoo", "train", "translator-gru", "--steps", "0"])
    assert result.exit_code == 2
    assert "--steps" in result.output
