"""What a model is calibrated on: a few texts of several kinds, written for this project.

None of it is in the text that builds are compared on (`certificate_text.py`).
"""

from __future__ import annotations

PROSE = """The baker opened at five, before the trams. She had learned from her aunt that dough is
patient but people are not, so the first loaves were always ready when the night nurses came past,
tired and hungry, and took them warm under their coats. In forty years she had seen the street lose
its cobbler, two cinemas and the man who mended umbrellas. "You could write all that down," said the
teacher who came on Thursdays. She laughed; what would she write? That rye takes longer than wheat?
That in the winter of 1987 the flour froze? But one evening she began, with a pencil, on the back of
an order form: Monday, rain, 140 loaves, sold out by nine. Within a year there were six notebooks,
and her nephew, who studied chemistry in Lyon, found in them something nobody had measured: how the
city's habits turned with the seasons, the strikes, the football. He typed everything into a table.
"""
DIALOGUE = """<|im_start|>system
You are a helpful assistant. Answer briefly.<|im_end|>
<|im_start|>user
What's the difference between a virus and a bacterium? And which one do antibiotics work against?
<|im_end|>
<|im_start|>assistant
Bacteria are living single cells that can reproduce on their own; viruses are much smaller and need
a host cell. Antibiotics work against bacteria only. For example:
1. Strep throat is bacterial: antibiotics help.
2. Influenza is viral: they do nothing, and taking them anyway breeds resistance.<|im_end|>
<|im_start|>user
Thanks! Write me a short email to my boss: I'm ill, back on Wednesday.<|im_end|>
<|im_start|>assistant
Subject: Sick leave until Wednesday

Hi Dana,
I'm down with the flu and won't be able to work today or tomorrow. I expect to be back on Wednesday.
Urgent things can go to Priya, who has my notes. Best regards, Tom<|im_end|>
"""
CODE = '''import json
from dataclasses import dataclass

@dataclass
class Order:
    """One line of the shop's ledger."""
    id: int
    items: list[str]
    total: float = 0.0

def load_orders(path: str, limit: int | None = None) -> list[Order]:
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["orders"][:limit]
    return [Order(**row) for row in rows if row.get("items")]

if __name__ == "__main__":
    orders = load_orders("orders.json", limit=100)
    print(f"{len(orders)} orders, {sum(o.total for o in orders):.2f} EUR")

SELECT customer_id, COUNT(*) AS n FROM orders WHERE total > 19.99 GROUP BY 1 ORDER BY n;
{"name": "Anna", "age": 31, "address": {"city": "Wien", "zip": "1010"}, "ok": true}
<div class="card"><a href="https://example.org/?q=1&amp;r=2">Read more</a></div>
for (int i = 0; i < n; ++i) { sum += a[i] * b[n - 1 - i]; }
'''
FACTS = """Paris is the capital of France, Tokyo of Japan, Nairobi of Kenya. Water boils at 100
degrees Celsius at sea level; at 3,000 m it boils at 90. Photosynthesis: 6 CO2 + 6 H2O ->
C6H12O6 + 6 O2. In 1969 Apollo 11 landed on the Moon. 17 * 23 = 391; the square root of 2
is 1.41421356; pi is
3.14159265. If x + 3 = 10, then x = 7. The Danube flows through Vienna, Bratislava, Budapest and
Belgrade. Beethoven wrote nine symphonies. | Year | Sales | |------|-------| | 2021 | 1,204 | | 2022
| 1,377 | | 2023 | 998 | Mr. J. K. O'Neill (b. 12/03/1954) *Advantages*: - cheap - quick - quiet
CHAPTER II. THE LAW OF CONTRACT. Section 4(1): No agreement shall be void only because... URGENT!!!
Ingredients: 200 g butter, 3 eggs, 1/2 tsp salt. Step 1. Preheat the oven to 180 C. lol ok thx :)
"""
LANGUAGES = """Der Zug nach Hamburg faehrt um zehn Uhr von Gleis vier ab. Où est la bibliothèque,
s'il vous plaît ? El niño compró tres manzanas y una pera. Il gatto dorme sul divano.
Москва слезам не верит. 東京は日本の首都です。 Ingen reklame, tak. Ελληνικά γράμματα.
Ĉu vi parolas Esperanton? مرحبا بالعالم 😀🎉
"""
TEXTS = (PROSE, DIALOGUE, CODE, FACTS, LANGUAGES)
