"""Completion: the upper half of a picture is kept, an autoregressive model goes on from there."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import digit

with Bestiary() as client:
    rows = [
        [whole, *client.images.complete(whole, keep=0.5, n=5, seed=1)]
        for whole in (digit("3"), digit("7"), digit("8"))
    ]
print(save_sheet(rows, "completion.png"))
