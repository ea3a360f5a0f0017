"""Which cards there are: the shipped ones, and the user's own. Knows nothing of weights."""

from __future__ import annotations

import difflib
from pathlib import Path
from urllib.parse import quote

import yaml
from pydantic import ValidationError

from bestiary.errors import CardInvalid, ModelNotFound
from bestiary.garden.card import ModelCard
from bestiary.garden.durable import write_durably

SHIPPED = Path(__file__).parent / "cards"
NEAREST = 3


class Catalog:
    """Cards as YAML files in two folders; the user's card wins over a shipped one of its id."""

    def __init__(self, own: Path, shipped: Path = SHIPPED) -> None:
        self._own = own
        self._shipped = shipped

    def cards(self) -> tuple[ModelCard, ...]:
        """All cards by id. Raises CardInvalid, naming the file."""
        return tuple(card for _, card in sorted((_read(self._shipped) | _read(self._own)).items()))

    def card(self, card_id: str) -> ModelCard:
        """Raises ModelNotFound with the nearest known ids, or with all where none is near."""
        known = {card.id: card for card in self.cards()}
        if card_id in known:
            return known[card_id]
        near = difflib.get_close_matches(card_id, known, n=NEAREST)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}"
        raise ModelNotFound(f"no model card {card_id!r}; {hint}", card_id)

    def owns(self, card_id: str) -> bool:
        """Whether the card is the user's."""
        return self._file(card_id).exists()

    def add(self, card: ModelCard) -> None:
        """Writes the user's card, whole or not at all."""
        self._own.mkdir(parents=True, exist_ok=True)
        record = card.model_dump(mode="json", exclude_defaults=True)
        text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True)
        write_durably(self._file(card.id), text.encode())

    def remove(self, card_id: str) -> None:
        """Forgets the user's card; a shipped card of that id shows again."""
        self._file(card_id).unlink(missing_ok=True)

    def _file(self, card_id: str) -> Path:
        return self._own / f"{quote(card_id, safe='')}.yaml"


def _read(folder: Path) -> dict[str, ModelCard]:
    cards: dict[str, ModelCard] = {}
    for path in sorted(folder.glob("*.yaml")):
        card = _card_from(path)
        if card.id in cards:
            raise CardInvalid(f"{path}: the id {card.id!r} is on another card in this folder")
        cards[card.id] = card
    return cards


def _card_from(path: Path) -> ModelCard:
    try:
        return ModelCard.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CardInvalid(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'card'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise CardInvalid(f"{path}: {faults}") from error
