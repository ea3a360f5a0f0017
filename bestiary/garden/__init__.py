"""The Model Garden: model cards, where weights come from, what is installed."""

from bestiary.garden.card import CardRequirement, Family, ModelCard, Source, WeightsFormat
from bestiary.garden.garden import Garden
from bestiary.garden.installed import InstalledModel

__all__ = [
    "CardRequirement",
    "Family",
    "Garden",
    "InstalledModel",
    "ModelCard",
    "Source",
    "WeightsFormat",
]
