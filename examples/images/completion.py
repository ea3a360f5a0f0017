"""Completion: the upper half of a picture is kept, an autoregressive model goes on from there."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face

picture = face()
with Bestiary() as client:
    rows = [
        [picture, *client.images.complete(picture, keep=0.5, n=5, seed=1, temperature=heat)]
        for heat in (0.5, 1.0)
    ]
print(save_sheet(rows, "completion.png"))
