"""Taste from pairs: short answers are preferred over long ones (DPO, arXiv:2305.18290)."""

import json

from bestiary_client import Bestiary, Gate

QUESTIONS = (
    "capital of France",
    "colour of the sky",
    "number of legs of a spider",
    "boiling point",
)
ANSWERS = ("Paris.", "Blue.", "Eight.", "100 °C.")
PADDING = "That is a very good question, and I am glad that you ask. Let me think. It is: "

lines = [
    json.dumps(
        {
            "prompt": f"{beginning} {question}?",
            "chosen": answer,
            "rejected": f"{PADDING}{answer} I hope that this helps you.",
        }
    )
    for beginning in ("What is the", "Tell me the", "Do you know the", "I need the")
    for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
]
with Bestiary() as client:
    job = client.tuning.create(
        "otter",
        "\n".join(lines).encode(),
        method="dpo",
        beta=0.1,
        epochs=5,
        suffix="short",
        gate=Gate(improves=("preference_accuracy",)),
    )
    job = client.tuning.wait(job, on_event=lambda event: print(event.message))
    print(job.status, job.evaluation and job.evaluation.tuned)
