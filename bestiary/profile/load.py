"""A profile's name or path -> `Profile`; every fault with file, line and the nearest valid key.

Reads one file and validates it. Knows neither Ray nor which cards are installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from bestiary.errors import ProfileInvalid
from bestiary.profile.faults import Fault, faults, nearest
from bestiary.profile.models import Profile
from bestiary.profile.yaml_source import MAX_BYTES, YamlDocument, parse_yaml
from bestiary.settings import Settings

SHIPPED = Path(__file__).resolve().parents[2] / "profiles"
SUFFIXES = (".yaml", ".yml")


def load_profile(
    name_or_path: str,
    *,
    overlay: Mapping[str, JsonValue] | None = None,
    home: Path | None = None,
) -> Profile:
    """The profile, validated.

    A bare name means `profiles/NAME.yaml` of this checkout, then the same under
    `home` (default `$BESTIARY_HOME`); anything with a slash or a YAML suffix is a path.
    `overlay` is laid over the file as a JSON merge patch (RFC 7396: mappings merge, null
    removes, all else replaces). Raises ProfileInvalid.
    """
    path = find_profile(name_or_path, home=home)
    document = parse_yaml(_read(path), str(path))
    data = merged(document.data, overlay) if overlay is not None else document.data
    try:
        # Strict JSON: "16" is no number and `yes` is no 1, while lists may fill tuples.
        return Profile.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise _invalid(faults(error, Profile), document) from error


def find_profile(name_or_path: str, *, home: Path | None = None) -> Path:
    """The profile's file. Raises ProfileInvalid, which lists the known ones."""
    if "/" in name_or_path or name_or_path.endswith(SUFFIXES):
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise ProfileInvalid("there is no such profile file", str(path))
        return path
    known = known_profiles(home=home)
    if name_or_path not in known:
        raise ProfileInvalid(
            f"there is no profile {name_or_path!r}{nearest(name_or_path, tuple(known))}"
        )
    return known[name_or_path]


def known_profiles(*, home: Path | None = None) -> dict[str, Path]:
    """Name -> file, sorted; a shipped profile wins over one of the same name under `home`."""
    own = (home if home is not None else Settings().home) / "profiles"
    found = {path.stem: path for folder in (own, SHIPPED) for path in folder.glob("*.yaml")}
    return dict(sorted(found.items()))


def merged(data: JsonValue, patch: Mapping[str, JsonValue]) -> JsonValue:
    """JSON merge patch: https://www.rfc-editor.org/rfc/rfc7396. Neither argument changes."""
    result = dict(data) if isinstance(data, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merged(result.get(key), value)
        else:
            result[key] = value
    return result


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ProfileInvalid(f"cannot be read: {error.strerror}", str(path)) from error
    if len(raw) > MAX_BYTES:
        raise ProfileInvalid(f"is over {MAX_BYTES // 1024} KiB", str(path))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ProfileInvalid("is not UTF-8 text", f"{path}:{line}") from error


def _invalid(found: tuple[Fault, ...], document: YamlDocument) -> ProfileInvalid:
    """The topmost fault gives `where`; the others follow, a line each."""
    first, *others = sorted(found, key=lambda fault: document.line(fault.path))
    rest = "".join(f"\n{document.where(fault.path)}: {fault.message}" for fault in others)
    return ProfileInvalid(first.message + rest, document.where(first.path))
