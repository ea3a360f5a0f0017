"""Fields of a request that do nothing in a model are refused; labels are looked up."""

from __future__ import annotations

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.garden.card import ModelCard
from bestiary.garden.image_facts import ImageFacts
from bestiary.schemas.image import GenerationRequest, ImageRequest


def refuse_fields(card: ModelCard, request: ImageRequest, *fields: str) -> None:
    """Raises UnsupportedParameter for the first that is set."""
    for name in fields:
        default = type(request).model_fields[name].get_default(call_default_factory=True)
        if getattr(request, name) != default:
            raise UnsupportedParameter(f"{name} does nothing in {card.id}", name)


def refuse_other_size(card: ModelCard, width: int | None, height: int | None) -> None:
    """Raises UnsupportedParameter for a size that is not the model's only one."""
    facts = facts_of(card)
    for name, asked, own in (("width", width, facts.width), ("height", height, facts.height)):
        if asked not in (None, own):
            raise UnsupportedParameter(
                f"{card.id} makes pictures of {facts.width}x{facts.height} pixels only", name
            )


def refuse_best_of(card: ModelCard, request: GenerationRequest) -> None:
    """Of a model that has no scorer. Raises UnsupportedParameter."""
    if request.best_of > 1:
        raise UnsupportedParameter(f"{card.id} has nothing that judges pictures", "best_of")


def class_of(card: ModelCard, label: str | None) -> int | None:
    """The number of a class; None for none. Raises InvalidRequest and UnsupportedParameter."""
    classes = facts_of(card).classes
    if label is None:
        return None
    if not classes:
        raise UnsupportedParameter(f"{card.id} knows no classes", "label")
    if label not in classes:
        raise InvalidRequest(f"label is {label!r}; {card.id} knows {', '.join(classes)}", "label")
    return classes.index(label)


def facts_of(card: ModelCard) -> ImageFacts:
    """Of a card of family image."""
    assert card.image is not None
    return card.image
