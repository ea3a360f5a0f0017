"""What builds are compared on: one text, written for this project, that no model was tuned on.

Prose, then a question with its answer, numbers and a few lines of code. Changing a letter
makes every certificate stale.
"""

from __future__ import annotations

import hashlib

TEXT = """Lighthouses were built where ships had been lost. The first stood on islands and were
fires of wood, later of coal, in iron baskets that men refilled through the night. Oil lamps with
glass lenses followed, and the lens of Fresnel let one small flame be seen twenty miles away. A
keeper wound the clockwork that turned the lens, trimmed the wick every four hours, and wrote down
the weather. Families lived there for years and grew potatoes in the shelter of the walls. Storms
broke windows that were forty metres above the sea. When electric light came the keepers stayed to
watch the machines, and when the machines could watch themselves the keepers left. Today ships find
their way by satellites, and most of the towers are museums, hotels or empty. Some still burn, since
a satellite can fail and a light on a rock cannot be mistaken. Historians collect the log books,
because a line for every day over two hundred years says more about the climate than any model. In
one of them a keeper notes, between wind and rain, that his daughter learned to read; in another
that the supply boat was three weeks late and that they ate seaweed. What did people think who saw
the light from the water? Sailors said that they counted the seconds between two flashes, looked
into the almanac, and then knew exactly where on Earth they were: ten seconds, red and white, north
of the reef, keep west. It is a language with few words, but everybody who needed it could read it,
and nobody has ever had to translate it.

Question: A light flashes every 10 seconds. How many flashes does a sailor see in 2 minutes?
Answer: Two minutes are 120 seconds, and 120 / 10 = 12, so the sailor sees 12 flashes.

def flashes(minutes, period=10):
    seconds = minutes * 60
    return seconds // period

print(flashes(2))  # 12
"""
SHA256 = hashlib.sha256(TEXT.encode()).hexdigest()
MOST_TOKENS = 600  # of it; models whose tokenizer cuts it finer are compared on its beginning
