"""The card of a tuned model: what its files say, and the rest as on its base's card."""

from __future__ import annotations

from dataclasses import dataclass

from bestiary.garden.card import ModelCard

# What no file in a model's folder says; tolerances too: a tuned model is built as its base is.
_FROM_THE_BASE = (
    "instruct",
    "tool_format",
    "languages",
    "sampling",
    "tolerance",
    "encoder_tolerance",
    "image",
    "image_tolerance",
    "license",
)
_OF_THE_SAME_ARCHITECTURE = ("tasks", "context_length", "dimensions")


@dataclass(frozen=True)
class TunedFrom:
    """The base's card, and what is told of the model that was made of it."""

    base: ModelCard
    title: str
    description: str
    provenance: str

    def card(self, found: ModelCard) -> ModelCard:
        """`found` in the tuned files; where another head came on, the tasks are its own."""
        same = found.architecture == self.base.architecture
        names = (*_FROM_THE_BASE, *(_OF_THE_SAME_ARCHITECTURE if same else ()))
        kept = {name: getattr(self.base, name) for name in names}
        if self.base.image is not None:  # measured figures are the base's own
            kept["image"] = self.base.image.model_copy(update={"figures": {}})
        return found.model_copy(update=kept | self.told())

    def adapted(self, card_id: str) -> ModelCard:
        """The card of an adapter: the base's, under another name."""
        return self.base.model_copy(update={"id": card_id, "tiers": ()} | self.told())

    def told(self) -> dict[str, object]:
        return {
            "title": self.title,
            "description": self.description,
            "provenance": self.provenance,
        }
