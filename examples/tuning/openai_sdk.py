"""The same through OpenAI's own SDK: `pip install openai`.

BESTIARY_URL (default http://127.0.0.1:8000) and the key in BESTIARY_HOME say which platform.
"""

import os
import time
from pathlib import Path

from openai import OpenAI
from tickets import chat_lines, tickets

home = Path(os.environ.get("BESTIARY_HOME", Path.home() / ".bestiary"))
url = os.environ.get("BESTIARY_URL", "http://127.0.0.1:8000")
client = OpenAI(base_url=f"{url}/v1", api_key=(home / "key").read_text().strip())

data = chat_lines(tickets(200, seed=1))
file = client.files.create(file=("tickets.jsonl", data), purpose="fine-tune")
job = client.fine_tuning.jobs.create(
    model="otter",
    training_file=file.id,
    suffix="tickets",
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
    extra_body={"bestiary": {"hyperparameters": {"patience": 3}}},  # what OpenAI has no word for
)
while job.status not in ("succeeded", "failed", "cancelled"):
    time.sleep(2)
    job = client.fine_tuning.jobs.retrieve(job.id)
for event in reversed(client.fine_tuning.jobs.list_events(job.id, limit=5).data):
    print(event.message)
print(job.status, job.fine_tuned_model)
