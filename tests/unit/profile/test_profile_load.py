"""A faulty profile is refused with file, line, dotted path and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestiary.errors import ProfileInvalid
from bestiary.garden.card import Family
from bestiary.profile.load import SHIPPED, find_profile, known_profiles, load_profile
from bestiary.profile.models import Profile
from bestiary.schemas.routing import Tier

VALID = """\
name: small
gateway:
  resources: {cpus: 1}
deployments:
  words:
    card: some-card
    text: {precision: int8, slots: 4}
    scaling: {min_replicas: 1, max_replicas: 2}
  more-words:
    card: {installed: {family: text, min_parameters: 1000}}
    text: {}
  vectors:
    card: other-card
    encoder: {}
tiers:
  gecko:
    deployment: words
    fallback: [otter]
  otter:
    deployment: more-words
embedding: vectors
auto:
  max_prompt_characters: {gecko: 100}
  otherwise: otter
"""

# what is replaced, by what, the line of the fault, what the message says
FAULTS = {
    "unknown key at the top": ("auto:", "autom:", 22, "autom is not a key; did you mean 'auto'?"),
    "unknown key inside": (
        "slots: 4",
        "slot: 4",
        7,
        "words.text.slot is not a key; did you mean 'slots'?",
    ),
    "unknown key with nothing near": (
        "slots: 4",
        "zzz: 4",
        7,
        "(known: adapter_rank, adapter_slots, context, ",
    ),
    "unknown key of a card": (
        "min_parameters",
        "min_params",
        10,
        "card.installed.min_params is not a key; did you mean 'min_parameters'?",
    ),
    "unknown tier": (
        "  gecko:\n",
        "  geko:\n",
        16,
        "tiers.geko: 'geko' is not valid; did you mean 'gecko'?",
    ),
    "unknown tier stands in": (
        "[otter]",
        "[oter]",
        18,
        "tiers.gecko.fallback[0]: 'oter' is not valid; did you mean 'otter'?",
    ),
    "unbound tier stands in": (
        "[otter]",
        "[bison]",
        18,
        "'bison' is not another tier that is bound (known: otter)",
    ),
    "a tier stands in for itself": (
        "[otter]",
        "[gecko]",
        18,
        "'gecko' is not another tier that is bound",
    ),
    "unknown deployment": (
        "deployment: words",
        "deployment: wrds",
        17,
        "'wrds' is not a text deployment; did you mean 'words'?",
    ),
    "a tier on an encoder": (
        "deployment: words",
        "deployment: vectors",
        17,
        "'vectors' is not a text deployment",
    ),
    "embedding on text": (
        "embedding: vectors",
        "embedding: words",
        21,
        "'words' is not an encoder deployment (known: vectors)",
    ),
    "auto to an unbound tier": (
        "otherwise: otter",
        "otherwise: bison",
        24,
        "auto.otherwise: 'bison' is not a tier that is bound",
    ),
    "auto rule of an unbound tier": (
        "{gecko: 100}",
        "{bison: 100}",
        23,
        "'bison' is not a tier that is bound",
    ),
    "no tier": ("tiers:\n", "tiers: {}\nx:\n", 15, "tiers: bind at least one tier"),
    "unknown precision": ("int8", "int7", 7, "'int7' is not valid; did you mean 'int8'?"),
    "number too small": (
        "slots: 4",
        "slots: 0",
        7,
        "text.slots: input should be greater than or equal to 1, not 0",
    ),
    "text for a number": (
        "slots: 4",
        "slots: four",
        7,
        "text.slots: input should be a valid integer, not 'four'",
    ),
    "quoted number": (
        "slots: 4",
        "slots: '4'",
        7,
        "text.slots: input should be a valid integer, not '4'",
    ),
    "yes for a number": (
        "cpus: 1",
        "cpus: yes",
        3,
        "gateway.resources.cpus: input should be a valid number, not True",
    ),
    "infinity": ("cpus: 1", "cpus: .inf", 3, "is not a finite number"),
    "minimum over maximum": (
        "max_replicas: 2",
        "max_replicas: 0",
        8,
        "max_replicas: input should be greater than or equal to 1",
    ),
    "bounds in the wrong order": (
        "min_replicas: 1",
        "min_replicas: 3",
        8,
        "words.scaling: min_replicas 3 is over max_replicas 2",
    ),
    "neither a card nor a requirement": (
        "card: some-card",
        "card: 5",
        6,
        "words.card: input should be a valid string, not 5",
    ),
    "a requirement without its key": (
        "{installed: {family: text, min_parameters: 1000}}",
        "{}",
        10,
        "card.installed is missing",
    ),
    "no engine": (
        "    text: {precision: int8, slots: 4}\n",
        "",
        5,
        "words: give exactly one of text, encoder, seq2seq and image",
    ),
    "two engines": (
        "slots: 4}",
        "slots: 4}\n    encoder: {}",
        5,
        "words: give exactly one of text, encoder, seq2seq and image",
    ),
    "name that cannot be one": (
        "  vectors:",
        "  Vec tors:",
        12,
        "deployments.Vec tors, the name itself: string should match",
    ),
    "missing key": ("embedding: vectors\n", "", 1, "embedding is missing"),
    "missing key inside": ("    deployment: words\n", "", 16, "tiers.gecko.deployment is missing"),
    "a list for a mapping": (
        "resources: {cpus: 1}",
        "resources: [1]",
        3,
        "gateway.resources: input should be an object, not a list",
    ),
    "duplicate key": ("auto:", "name: again\nauto:", 22, "name is given twice, first on line 1"),
    "duplicate key inside": (
        "slots: 4",
        "slots: 4, slots: 5",
        7,
        "text.slots is given twice, first on line 7",
    ),
    "key that is no string": ("auto:", "1: x\nauto:", 22, "'1' is not a string; quote it"),
    "key that is a mapping": ("auto:", "{a: b}: x\nauto:", 22, "'this key' is not a string"),
    "date": ("name: small", "name: 2024-01-02", 1, "a YAML timestamp is not read; quote it"),
    "tag": ("name: small", "name: !!python/object:os.system x", 1, "is not read"),
    "merge key": ("auto:", "<<: {name: x}\nauto:", 22, "merge keys (<<) are not read"),
    "endless digits": ("slots: 4", f"slots: 1{'0' * 5000}", 7, "text.slots: "),
    "broken YAML": ("auto:", "auto: [", 24, "not YAML: "),
    "tab": ("  gecko:", "\tgecko:", 16, "not YAML: "),
    "two documents": ("auto:", "---\nauto:", 22, "not YAML: "),
    "alias to itself": ("name: small", "name: &x [*x]", 1, "nests deeper than 32 levels"),
}


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "faulty.yaml"
    path.write_text(text)
    return str(path)


def refusal(path: str) -> ProfileInvalid:
    with pytest.raises(ProfileInvalid) as caught:
        load_profile(path)
    return caught.value


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_told_with_its_line(case: str, tmp_path: Path) -> None:
    old, new, line, says = FAULTS[case]
    assert old in VALID
    path = write(tmp_path, VALID.replace(old, new, 1))
    error = refusal(path)
    assert error.where == f"{path}:{line}"
    assert says in error.message


def test_every_fault_is_told_topmost_first(tmp_path: Path) -> None:
    path = write(tmp_path, VALID.replace("slots: 4", "slots: 0").replace("cpus: 1", "cpu: 1"))
    first, second = str(refusal(path)).splitlines()
    assert first.startswith(f"{path}:3: gateway.resources.cpu is not a key")
    assert second.startswith(f"{path}:7: deployments.words.text.slots")


def test_a_fault_of_one_card_form_is_told_once(tmp_path: Path) -> None:
    path = write(tmp_path, VALID.replace("min_parameters", "min_params"))
    assert len(str(refusal(path)).splitlines()) == 1


def test_the_valid_profile_of_these_tests_loads(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, VALID))
    assert profile.tiers[Tier.GECKO].fallback == (Tier.OTTER,)
    assert profile.deployments["vectors"].family is Family.ENCODER


@pytest.mark.parametrize(("text", "line"), [("", 1), ("# only a comment\n", 1)])
def test_an_empty_file_is_refused(text: str, line: int, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    assert str(refusal(path)) == f"{path}:{line}: is empty"


def test_a_scalar_file_is_refused(tmp_path: Path) -> None:
    assert "the profile: input should be an object" in refusal(write(tmp_path, "hello\n")).message


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    assert "is over 256 KiB" in refusal(write(tmp_path, "#" * 300_000)).message


def test_bottomless_nesting_is_refused(tmp_path: Path) -> None:
    assert "nests deeper" in refusal(write(tmp_path, "name: " + "[" * 5_000)).message


def test_multiplying_aliases_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        again = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{again}]")
    assert "more than 20000 values" in refusal(write(tmp_path, "\n".join(lines))).message


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "faulty.yaml"
    path.write_bytes(b"name: x\nother: \xff\n")
    assert str(refusal(str(path))) == f"{path}:2: is not UTF-8 text"


def test_a_path_without_a_file_is_refused() -> None:
    assert str(refusal("/nowhere/x.yaml")) == "/nowhere/x.yaml: there is no such profile file"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "there is no such profile file" in str(refusal(f"{tmp_path}/"))


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ProfileInvalid, match=r"no profile 'latpop'; did you mean 'laptop'\?") as e:
        load_profile("latpop", home=tmp_path)
    assert "gpu" in e.value.message


def test_a_name_may_lie_under_the_home(tmp_path: Path) -> None:
    own = tmp_path / "profiles" / "mine.yaml"
    own.parent.mkdir()
    own.write_text(VALID)
    assert load_profile("mine", home=tmp_path).name == "small"
    assert known_profiles(home=tmp_path)["mine"] == own


def test_a_shipped_profile_wins_over_one_under_the_home(tmp_path: Path) -> None:
    own = tmp_path / "profiles" / "laptop.yaml"
    own.parent.mkdir()
    own.write_text(VALID)
    assert find_profile("laptop", home=tmp_path) == SHIPPED / "laptop.yaml"


@pytest.mark.parametrize("name", ["laptop", "gpu"])
def test_a_shipped_profile_loads_and_is_named_after_its_file(name: str, tmp_path: Path) -> None:
    assert load_profile(name, home=tmp_path).name == name


def test_an_overlay_merges_replaces_and_removes(tmp_path: Path) -> None:
    profile: Profile = load_profile(
        write(tmp_path, VALID),
        overlay={
            "gateway": {"resources": {"cpus": 2}},
            "tiers": {"gecko": {"fallback": []}},
            "auto": None,
            "aliases": {"text-otter-001": "otter"},
        },
    )
    assert profile.gateway.resources.cpus == 2
    assert profile.tiers[Tier.GECKO].fallback == ()
    assert profile.tiers[Tier.GECKO].deployment == "words"
    assert profile.auto.otherwise is Tier.GECKO
    assert profile.aliases == {"text-otter-001": "otter"}


def test_a_faulty_overlay_is_told_at_the_nearest_line(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    with pytest.raises(ProfileInvalid, match=r"gateway\.limits\.max_body is not a key") as caught:
        load_profile(path, overlay={"gateway": {"limits": {"max_body": 1}}})
    assert caught.value.where == f"{path}:2"
