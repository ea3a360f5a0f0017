"""A bigger model's answers for a smaller one's price: the teacher answers, the student learns."""

import json

from bestiary_client import Bestiary
from tickets import tickets

prompts = [
    json.dumps({"messages": [{"role": "user", "content": f"Say it in five words: {text}"}]})
    for text, _ in tickets(200, seed=4)
]
with Bestiary() as client:
    job = client.tuning.create(
        "gecko",
        "\n".join(prompts).encode(),
        method="distillation",
        teacher="otter",
        teaches_by="answers",
        suffix="taught",
    )
    job = client.tuning.wait(job, on_event=lambda event: print(event.message))
    if job.tuned_model:
        lineage = client.tuning.models.get(job.tuned_model).lineage
        print(job.tuned_model, "was made of", lineage.base, "in", lineage.training_seconds, "s")
    print(job.status)
