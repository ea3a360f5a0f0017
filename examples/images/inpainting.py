"""Inpainting: the picture, the mask (white is made anew), and four ways to fill it."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face, upper_half

picture, mask = face(), upper_half()
with Bestiary() as client:
    found = client.images.inpaint(
        picture, mask, "face with sunglasses", n=4, seed=1, guidance_scale=4
    )
print(save_sheet([[picture, mask, *found]], "inpainting.png"))
