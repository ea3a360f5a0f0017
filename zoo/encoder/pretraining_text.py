"""What the MLM and NSP heads read: docstrings and the King James Version; e-mails never."""

from __future__ import annotations

from zoo.data.chapters import chapters
from zoo.data.docstrings import docstrings
from zoo.data.emails import emails
from zoo.data.sentences import documents
from zoo.encoder.sentence_pairs import SentencePair, apart, pairs

HELD_OUT_PAIRS = 600  # per domain, at most


def texts(seed: int) -> tuple[list[SentencePair], dict[str, list[SentencePair]]]:
    """To train on, and held out by domain. `e-mails` is a domain that is not trained on."""
    code = apart(document for text in docstrings() for document in documents(text))
    verses = apart(chapters())
    # Verses follow one another by twenties: no more of them than of docstrings.
    prose = pairs(code[0], seed)
    training = prose + pairs(verses[0], seed)[: len(prose)]
    mails = [one for mail in emails() if not mail.spam for one in documents(mail.body)]
    held_out = {"docstrings": code[1], "verses": verses[1], "e-mails": list(dict.fromkeys(mails))}
    return training, {name: pairs(found, seed)[:HELD_OUT_PAIRS] for name, found in held_out.items()}
