"""Super-resolution: a small picture, and what the model makes of it, side by side."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face

small = face(16)
with Bestiary() as client:
    large = client.images.super_resolve(small, n=3, seed=1)
print(f"{small.width}x{small.height} became {large[0].width}x{large[0].height}")
print(save_sheet([[small, *large]], "super_resolution.png"))
