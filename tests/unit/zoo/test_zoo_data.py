"""The loaders, on small files of the kind that the packages hold."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from bestiary.errors import ChecksumMismatch
from bestiary.garden.checksum import sha256_of
from zoo.data import packages
from zoo.data.emails import read_email
from zoo.data.gettext_catalogs import messages
from zoo.data.held_out import NearDuplicates, is_held_out
from zoo.data.packages import DJANGO, Package, archive_of, members
from zoo.data.parallel_texts import is_usable, tidy, unambiguous
from zoo.data.sentences import documents, sentences

CATALOG = """
msgid ""
msgstr "Language: fr\\n"

#: views.py:3
msgid "Save"
msgstr "Enregistrer"

msgid "A long "
"line\\n"
msgstr "Une longue "
"ligne\\n"

#, fuzzy
msgid "Old"
msgstr "Vieux"

msgid "one page"
msgid_plural "%d pages"
msgstr[0] "une page"
msgstr[1] "%d pages"

msgid "Not done"
msgstr ""
"""


def test_catalog_gives_what_is_translated() -> None:
    assert list(messages(CATALOG)) == [
        ("Save", "Enregistrer"),
        ("A long line\n", "Une longue ligne\n"),
    ]


def test_texts_get_one_kind_of_quotation_mark_and_space() -> None:
    assert tidy("l\u2019\u00a0\u201cAppareil\u201d\n a") == 'l\' "Appareil" a'


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Wi-Fi", "Wi-Fi"),
        ("Hello {name}", "Bonjour {name}"),
        ("See [here](x)", "Voir [ici](x)"),
        ("word " * 26, "mot"),
        ("12", "13"),
        ("", "rien"),
    ],
)
def test_texts_that_teach_nothing_are_left_out(source: str, target: str) -> None:
    assert not is_usable(source, target)


def test_each_source_has_its_commonest_translation() -> None:
    texts = [("Open", "Ouvrir"), ("Open", "Ouvert"), ("Open", "Ouvert"), ("Off", "Arrêt")]
    assert dict(unambiguous(texts)) == {"Open": "Ouvert", "Off": "Arrêt"}


def test_equally_common_translations_are_chosen_by_text_not_by_order() -> None:
    one, other = ("Open", "Ouvrir"), ("Open", "Ouvert")
    assert list(unambiguous([one, other])) == list(unambiguous([other, one]))


def test_held_out_is_decided_by_the_words_alone() -> None:
    texts = [f"text number {place} of many words" for place in range(2000)]
    chosen = [text for text in texts if is_held_out(text, 0.1, seed=1)]
    assert chosen == [text for text in texts if is_held_out(f"  {text.upper()}!", 0.1, seed=1)]
    other_digits = {is_held_out(f"page {number}", 0.5, seed=1) for number in range(10, 20)}
    assert len(other_digits) == 1


def test_share_of_the_held_out_is_about_the_one_asked_for() -> None:
    words = [
        f"{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}"
        for a in range(12)
        for b in range(12)
        for c in range(12)
    ]
    share = sum(is_held_out(word, 0.1, seed=3) for word in words) / len(words)
    assert 0.07 < share < 0.13


def test_near_duplicates_are_found_and_others_are_not() -> None:
    near = NearDuplicates(["Turn on the light in the kitchen", "Sunrise"])
    assert near.has_near("turn ON the lights light in the kitchen!")
    assert near.has_near("sunrise")
    assert not near.has_near("Turn off the heating in the bedroom")
    assert not near.has_near("")


def test_near_duplicates_are_those_that_comparing_all_with_all_finds() -> None:
    words = list("abcdefg")
    texts = [
        " ".join(word for bit, word in enumerate(words) if mask >> bit & 1)
        for mask in range(1, 128)
    ]
    held_out, others = texts[::5], texts[1::3]
    near = NearDuplicates(held_out)

    def slow(text: str) -> bool:
        mine = set(text.split())
        return any(
            len(mine & set(one.split())) >= 0.75 * len(mine | set(one.split())) for one in held_out
        )

    assert [near.has_near(text) for text in others] == [slow(text) for text in others]


def test_sentences_lose_their_markup_and_stop_at_what_is_no_prose() -> None:
    found = sentences(
        "Returns the :class:`Session` that ``self`` holds, e.g. Nothing here. It is open then."
        " The rest = 1. This comes after what is no prose."
    )
    assert found == ("Returns the Session that self holds, e.g. Nothing here.", "It is open then.")


def test_documents_are_paragraphs_of_several_sentences() -> None:
    text = (
        "This is one sentence alone.\n\nHere is the first one. And here is the second."
        "\n\n    This is indented code. It has two sentences."
    )
    assert list(documents(text)) == [("Here is the first one.", "And here is the second.")]


def test_email_is_read_without_headers_and_markup() -> None:
    raw = (
        b"From: a@b.c\r\nX-Spam: yes\r\nSubject: =?iso-8859-1?q?Caf=E9?= open\r\n"
        b"Content-Type: text/html; charset=utf-8\r\n\r\n"
        b"<html><style>p {}</style><p>Buy&nbsp;now</p>\r\n<!-- x --><b>cheap</b></html>"
    )
    found = read_email(raw, spam=True)
    assert found.subject == "Café open"
    assert "Buy\xa0now" in found.body
    assert "cheap" in found.body
    assert "X-Spam" not in found.text
    assert "<" not in found.text


def test_plain_text_is_taken_before_html() -> None:
    raw = (
        b'Subject: s\r\nContent-Type: multipart/alternative; boundary="x"\r\n\r\n'
        b"--x\r\nContent-Type: text/html\r\n\r\n<p>rich</p>\r\n"
        b"--x\r\nContent-Type: text/plain\r\n\r\nplain words\r\n--x--\r\n"
    )
    assert read_email(raw, spam=False).body == "plain words"


def test_members_of_wheels_and_tarballs_are_read_in_memory(tmp_path: Path) -> None:
    wheel, tarball = tmp_path / "a.whl", tmp_path / "a.tgz"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x/one.json", "1")
        archive.writestr("x/two.txt", "2")
    with tarfile.open(tarball, "w:gz") as packed:
        info = tarfile.TarInfo("x/one.json")
        info.size = 1
        packed.addfile(info, io.BytesIO(b"1"))
    for path in (wheel, tarball):
        assert list(members(path, lambda name: name.endswith(".json"))) == [("x/one.json", b"1")]


def test_cached_archive_is_taken_without_a_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTIARY_ZOO_CACHE", str(tmp_path))
    kept = tmp_path / "pypi" / f"{DJANGO.sha256}.archive"
    kept.parent.mkdir()
    kept.write_bytes(b"as it was checked once")
    assert archive_of(DJANGO) == kept


def test_another_archive_than_the_recorded_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "tiny_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_data-1.0.dist-info/METADATA", "Name: tiny-data\nVersion: 1.0\n")
        archive.writestr("tiny_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    monkeypatch.setenv("BESTIARY_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    recorded = sha256_of(wheel)

    def tiny(sha256: str) -> Package:
        return Package("pypi", "tiny-data", "1.0", sha256, "CC0-1.0", "nobody")

    assert sha256_of(archive_of(tiny(recorded))) == recorded
    with pytest.raises(ChecksumMismatch, match=r"tiny-data 1\.0"):
        archive_of(tiny("0" * 64))
    assert packages.cache_folder() == tmp_path / "cache"
