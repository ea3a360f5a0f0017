"""Answers in a strict form: a small model learns to turn tickets into JSON, and is compared."""

from bestiary_client import Bestiary, Gate
from tickets import SYSTEM, chat_lines, tickets

with Bestiary() as client:
    file = client.files.upload(chat_lines(tickets(400, seed=1)), filename="tickets.jsonl")
    estimate = client.tuning.estimate("otter", file, epochs=3)
    print(f"{estimate.plan.steps} steps, about {estimate.plan.estimated_seconds / 60:.0f} minutes")

    job = client.tuning.create(
        "otter",
        file,
        validation_file=chat_lines(tickets(60, seed=2)),
        epochs=3,
        suffix="tickets",
        gate=Gate(at_least={"exact_match": 0.5}),
    )
    job = client.tuning.wait(job, on_event=lambda event: print(event.message))
    if job.evaluation:
        for metric in ("loss", "exact_match"):
            print(metric, job.evaluation.base.get(metric), "->", job.evaluation.tuned.get(metric))
    for model in ("otter", job.tuned_model):
        if model is not None:
            answer = client.chat(
                [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": "Hello, my phone burns my hand. Order B-4711."},
                ],
                model=model,
                temperature=0,
            )
            print(model, "says", answer.text)
    print(job.status)
