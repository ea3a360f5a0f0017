"""Interpolation: from one picture to another through a VAE's latents."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face, upper_half

with Bestiary() as client:
    frames = client.images.interpolate(face(), upper_half(), frames=8)
print(save_sheet([frames], "interpolation.png"))
