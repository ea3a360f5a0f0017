"""Invented support tickets, each with the JSON that a model shall answer. No model, no network.

Order numbers make every ticket another one: what is held out was never learned.
"""

from __future__ import annotations

import json
import random

SYSTEM = "Answer with one line of JSON: product, problem, order, urgent."
_PRODUCTS = ("printer", "router", "laptop", "phone", "screen", "camera")
_PROBLEMS = {
    "broken": ("does not turn on", "is dead", "makes no sound and no light any more"),
    "slow": ("takes minutes for everything", "is very slow", "hangs all the time"),
    "hot": ("gets so hot that I cannot touch it", "smells of smoke", "burns my hand"),
    "lost": ("is not in the parcel", "never came", "was taken from my desk"),
}
_OPENINGS = ("Hello, my {}", "The {} I bought", "Since yesterday our {}", "Hi! My new {}")
_URGENT = ("", " Please help today!", " It is urgent.", " No hurry.")


def tickets(count: int, seed: int) -> list[tuple[str, str]]:
    """(what a customer writes, the JSON)."""
    dice = random.Random(seed)  # noqa: S311  # data, not secrets
    found: list[tuple[str, str]] = []
    for _ in range(count):
        product, problem = dice.choice(_PRODUCTS), dice.choice(tuple(_PROBLEMS))
        ending = dice.choice(_URGENT)
        opening = dice.choice(_OPENINGS).format(product)
        order = f"{dice.choice('ABCD')}-{dice.randrange(1000, 10_000)}"
        text = f"{opening} {dice.choice(_PROBLEMS[problem])}. Order {order}.{ending}"
        urgent = problem == "hot" or ending.startswith((" Please", " It is"))
        answer = {"product": product, "problem": problem, "order": order, "urgent": urgent}
        found.append((text, json.dumps(answer)))
    return found


def chat_lines(pairs: list[tuple[str, str]]) -> bytes:
    """JSONL of conversations."""
    lines = []
    for asked, answer in pairs:
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer},
        ]
        lines.append(json.dumps({"messages": messages}))
    return "\n".join(lines).encode()
