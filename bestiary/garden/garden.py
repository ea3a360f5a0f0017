"""The garden: installs models, says what is installed, takes the user's own.

catalog.py    which cards there are         sources/   where weights come from
builder.py    files -> a model folder       store.py   how it gets onto the disk, whole
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bestiary.errors import CardNotInstalled, Conflict, SourceUnavailable
from bestiary.garden.blobs import Blobs
from bestiary.garden.builder import build
from bestiary.garden.card import CardRequirement, ModelCard, Source
from bestiary.garden.catalog import Catalog
from bestiary.garden.disk import MEGABYTE, full_disk_explained, require_space
from bestiary.garden.installed import InstalledModel, recipe_of
from bestiary.garden.own_card import UNKNOWN_LICENSE, card_for
from bestiary.garden.sources.folder import FileSource, ZooSource
from bestiary.garden.sources.hub import HubSource
from bestiary.garden.sources.package import PackageSource
from bestiary.garden.sources.registry import Registry
from bestiary.garden.sources.s3 import S3Source
from bestiary.garden.store import Store
from bestiary.garden.tuned_card import TunedFrom
from bestiary.progress import Progress, Silent

REPOSITORY_ZOO = Path(__file__).parents[2] / "zoo"


class Garden:
    """Everything lies under `home`; several processes may use one home at the same time."""

    def __init__(
        self, home: Path, *, zoo: Path | None = None, sources: Registry | None = None
    ) -> None:
        self._home = home
        self._blobs = Blobs(home / "cache" / "blobs")
        self._catalog = Catalog(home / "cards")
        self._store = Store(home)
        self._sources = sources or Registry(
            {
                "package": PackageSource(self._blobs),
                "hf": HubSource(),
                "zoo": ZooSource(zoo or REPOSITORY_ZOO),
                "file": FileSource(),
                "s3": S3Source(),
            }
        )

    def cards(self) -> tuple[ModelCard, ...]:
        """All cards, installed or not, by id. Raises CardInvalid, naming the file."""
        return self._catalog.cards()

    def card(self, card_id: str) -> ModelCard:
        """Raises ModelNotFound with the nearest known ids."""
        return self._catalog.card(card_id)

    def install(self, card_id: str, progress: Progress | None = None) -> InstalledModel:
        """Gets the weights from the card's first source that has them; at once if they are here.

        Raises ModelNotFound; CardNotInstalled, naming each source and why it failed;
        ChecksumMismatch or UnsafeArchive for a tampered source; GardenError for weights
        that cannot be served, a full disk, or another install that does not end.
        """
        return self._install(self.card(card_id), progress or Silent())

    def installed(self, card_id: str) -> InstalledModel:
        """Raises ModelNotFound or CardNotInstalled. Never touches the network."""
        card = self.card(card_id)
        model = self._store.find(card)
        if model is None:
            raise _not_installed(card, tuple(f"{one.url}: not tried" for one in card.sources))
        return model

    def is_installed(self, card_id: str) -> bool:
        """Raises ModelNotFound."""
        return self._store.find(self.card(card_id)) is not None

    def installed_card(self, requirement: CardRequirement) -> ModelCard:
        """The largest installed card that meets all of it. Raises CardNotInstalled."""
        meeting = [card for card in self.cards() if requirement.met_by(card)]
        installed = [card for card in meeting if self._store.find(card) is not None]
        if not installed:
            asked = json.dumps(requirement.model_dump(mode="json"))
            known = ", ".join(card.id for card in meeting) or "none"
            raise CardNotInstalled(f"no installed card meets {asked}; cards that would: {known}")
        return max(installed, key=lambda card: (card.parameters, card.id))

    def add(
        self,
        path: Path,
        *,
        card_id: str | None = None,
        tiers: Iterable[str] = (),
        license: str = UNKNOWN_LICENSE,
        progress: Progress | None = None,
        tuned_from: TunedFrom | None = None,
    ) -> ModelCard:
        """Makes a card for a GGUF file or a safetensors folder, and installs a copy of it.

        What the files do not say, a model that was `tuned_from` another has from it. Idempotent.
        Raises GardenError for what cannot be served, Conflict where the id is another model's.
        """
        card = card_for(path, card_id, tuple(tiers), license)
        card = card if tuned_from is None else tuned_from.card(card)
        present = next((one for one in self.cards() if one.id == card.id), None)
        if present is not None and _recipes(present) != _recipes(card):
            raise Conflict(f"there is a card {card.id!r} already; give another id, or remove it")
        self._install(card, progress or Silent())
        self._catalog.add(card)  # last: a card that cannot be served is none
        return card

    def remove(self, card_id: str) -> None:
        """Deletes the installed files, and the card if it is the user's own.

        Raises ModelNotFound, or CardNotInstalled where a shipped card has no files here.
        """
        card = self.card(card_id)
        with self._store.locked(card.id):
            own = self._catalog.owns(card.id)
            if not self._store.remove(card.id) and not own:
                raise _not_installed(card, ())
            self._catalog.remove(card.id)
            for archive in _archives(card) - {
                digest
                for other in self.cards()
                if other.id != card.id
                for digest in _archives(other)
            }:
                self._blobs.drop(archive)

    def verify(self, card_id: str) -> None:
        """Reads every installed byte. Raises ChecksumMismatch or CardNotInstalled."""
        self._store.verify(self.installed(card_id))

    def _install(self, card: ModelCard, progress: Progress) -> InstalledModel:
        model = self._store.find(card)
        if model is not None:
            return model
        self._home.mkdir(parents=True, exist_ok=True)
        with self._store.locked(card.id):
            model = self._store.find(card)  # another process may have been faster
            return model or self._install_from_first(card, progress)

    def _install_from_first(self, card: ModelCard, progress: Progress) -> InstalledModel:
        tried: list[str] = []
        for source in card.sources:
            try:
                return self._install_from(card, source, progress)
            except SourceUnavailable as error:
                tried.append(f"{source.url}: {error}")
        raise _not_installed(card, tuple(tried))

    def _install_from(self, card: ModelCard, source: Source, progress: Progress) -> InstalledModel:
        base = self.install(source.base, progress) if source.base else None
        size = int((source.size_mb or 0) * MEGABYTE)
        purpose = f"the weights of {card.id}"
        require_space(self._home, size, purpose)
        with full_disk_explained(self._home, size, purpose), self._store.staging(card.id) as staged:
            partial = self._store.partial(card.id, recipe_of(source))
            fetched = self._sources.source_for(source).fetch(source, partial, progress)
            provenance = build(card, source, fetched, staged, progress, base)
            return self._store.publish(card, staged, provenance)


def _recipes(card: ModelCard) -> set[str]:
    return {recipe_of(source) for source in card.sources}


def _archives(card: ModelCard) -> set[str]:
    return {source.archive_sha256 for source in card.sources if source.archive_sha256}


def _not_installed(card: ModelCard, tried: tuple[str, ...]) -> CardNotInstalled:
    reasons = "".join(f"\n  {one}" for one in tried)
    return CardNotInstalled(
        f"{card.id} is not installed; `bestiary models pull {card.id}` installs it{reasons}",
        card.id,
        tried,
    )
