"""What a person sets for one machine: the environment, read once.

Everything about models, tiers and limits is in the profile instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is read from `BESTIARY_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="BESTIARY_", frozen=True, extra="ignore")

    home: Annotated[Path, Field(description="state: keys, weights, kernels, logs")] = (
        Path.home() / ".bestiary"
    )
    host: Annotated[str, Field(description="address that the gateway listens on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="port of the gateway")] = 8000
    profile: Annotated[str, Field(description="profile name in profiles/, or a path")] = "laptop"
    database_url: Annotated[
        str | None, Field(description="SQLAlchemy URL; default: SQLite under the home")
    ] = None

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'bestiary.db'}"

    @property
    def key_file(self) -> Path:
        return self.home / "key"
