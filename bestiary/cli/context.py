"""What most commands need: settings, the garden, the profile, a client. Built once each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bestiary_client import Bestiary

from bestiary.cli.platform.instance import Instance
from bestiary.garden import Family, Garden
from bestiary.profile.applications import ApplicationSpec, applications
from bestiary.profile.bindings import apply_bindings, read_bindings
from bestiary.profile.load import load_profile
from bestiary.profile.models import Profile
from bestiary.settings import Settings
from bestiary.state.database import Database
from bestiary.state.first_key import ensure_first_key
from bestiary.state.keys import Keys
from bestiary.state.upgrade import upgrade


@dataclass(frozen=True)
class Context:
    settings: Settings

    @cached_property
    def instance(self) -> Instance:
        return Instance(self.settings)

    @cached_property
    def garden(self) -> Garden:
        return Garden(self.settings.home)

    def profile(self) -> Profile:
        """The profile with this machine's tier bindings laid over it."""
        home = self.settings.home
        profile = load_profile(self.settings.profile, home=home)
        return apply_bindings(profile, read_bindings(home), self._families())

    def applications(self) -> tuple[ApplicationSpec, ...]:
        return applications(self.profile(), self.garden)

    def keys(self) -> Keys:
        upgrade(self.settings.resolved_database_url)
        return Keys(Database(self.settings.resolved_database_url))

    def first_key(self) -> str:
        return ensure_first_key(self.keys(), self.settings.key_file)

    def client(self) -> Bestiary:
        """The SDK, like any user; it reads the key from the home."""
        key = self.settings.key_file.read_text().strip()
        return Bestiary(base_url=self.instance.url, api_key=key)

    def _families(self) -> dict[str, Family]:
        return {card.id: card.family for card in self.garden.cards()}
