"""Completion: the upper half of a picture is kept, an autoregressive model goes on from there."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet

with Bestiary() as client:
    [model, *_] = [one.id for one in client.models.list() if "image-completion" in one.tasks]
    rows = []
    for digit in ("3", "7", "8"):
        [whole] = client.images.sample(model=model, label=digit, seed=4)
        guesses = client.images.complete(whole, keep=0.5, n=5, seed=1, model=model)
        rows.append([whole, *guesses])
print(save_sheet(rows, "completion.png"))
