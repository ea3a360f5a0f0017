"""A classifier of texts from labels, published only where its F1 is good enough.

    python examples/tuning/classifier.py mine.jsonl   # lines of {"text", "label"}

Without a file: tickets that are urgent, and those that are not.
"""

import json
import sys

from bestiary_client import Bestiary, Gate
from tickets import tickets


def urgent_or_not() -> bytes:
    lines = []
    for text, answer in tickets(400, seed=3):
        label = "urgent" if json.loads(answer)["urgent"] else "later"
        lines.append(json.dumps({"text": text, "label": label}))
    return "\n".join(lines).encode()


data = sys.argv[1] if len(sys.argv) > 1 else urgent_or_not()
with Bestiary() as client:
    job = client.tuning.create(
        "all-minilm-l6-v2",
        data,
        method="classification",
        suffix="urgent",
        patience=3,
        gate=Gate(at_least={"macro_f1": 0.9}, improves=()),
    )
    job = client.tuning.wait(job, on_event=lambda event: print(event.message))
    if job.evaluation:
        for reason in job.evaluation.reasons:
            print(reason)
    if job.tuned_model and job.method == "classification":
        print(client.classify("My laptop smells of smoke!", model=job.tuned_model)[0].label)
    print(job.status)
