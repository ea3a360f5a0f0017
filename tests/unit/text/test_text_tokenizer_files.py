"""What a checkpoint's files say about its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, models, processors

from bestiary.errors import CardInvalid
from deployments.text.tokenizer import TextTokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "<s>": 2, "</s>": 3}, unk_token="a"))
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>")])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 2)])
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def write(folder: Path, name: str, **content: object) -> None:
    (folder / name).write_text(json.dumps(content))


def test_a_bare_prompt_gets_what_the_model_expects_around_it(folder: Path) -> None:
    tokenizer = TextTokenizer.from_folder(folder)
    assert tokenizer.encode("b", as_prompt=True) == [2, 1]
    assert tokenizer.encode("b", as_prompt=False) == [1]


def test_a_saved_truncation_is_not_obeyed(folder: Path) -> None:
    tokenizer = TextTokenizer.from_folder(folder)
    assert len(tokenizer.encode("b</s>" * 10, as_prompt=False)) == 20


def test_special_tokens_have_no_text(folder: Path) -> None:
    assert TextTokenizer.from_folder(folder).decode([2, 1, 3]) == "b"


def test_end_ids_come_from_every_file_that_names_one(folder: Path) -> None:
    write(folder, "generation_config.json", eos_token_id=[7, 8])
    write(folder, "config.json", eos_token_id=9)
    write(folder, "tokenizer_config.json", eos_token={"content": "</s>"}, bos_token="<s>")
    tokenizer = TextTokenizer.from_folder(folder)
    assert tokenizer.end_ids == {3, 7, 8, 9}
    assert tokenizer.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}


def test_without_configs_nothing_ends_a_text(folder: Path) -> None:
    assert TextTokenizer.from_folder(folder).end_ids == set()


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match=r"tokenizer\.json"):
        TextTokenizer.from_folder(tmp_path)
