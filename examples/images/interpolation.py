"""Interpolation: from one picture to another through a VAE's latents."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face, heart

with Bestiary() as client:
    frames = client.images.interpolate(face(), heart(), frames=8)
print(save_sheet([frames], "interpolation.png"))
