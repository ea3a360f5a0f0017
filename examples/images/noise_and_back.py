"""Diffusion both ways: structure that noise destroys, and noise that becomes structure."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face

STEPS = (0, 100, 250, 500, 750, 950)

with Bestiary() as client:
    noised = client.images.noise(face(), STEPS, seed=1)
    way = client.images.trajectory(frames=len(STEPS), seed=1)
for one in noised:
    print(f"step {one.timestep}: signal to noise {one.snr:.4g}")
print(save_sheet([noised, way, [one.denoised or one for one in way]], "noise_and_back.png"))
