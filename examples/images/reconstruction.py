"""Reconstruction: a picture through a VAE's latent and back, and variations near it."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face

picture = face()
with Bestiary() as client:
    [vae, *_] = [model.id for model in client.models.list() if "image-reconstruct" in model.tasks]
    [rebuilt] = client.images.reconstruct(picture, model=vae)
    [latent] = client.images.encode(picture, model=vae)
    drawn = [client.images.encode(picture, model=vae, seed=seed)[0] for seed in range(4)]
    near = client.images.decode(drawn, model=vae)
print(
    f"latent of {len(latent.values)} numbers; PSNR {rebuilt.psnr:.1f} dB, SSIM {rebuilt.ssim:.3f}"
)
print(save_sheet([[picture, rebuilt, *near]], "reconstruction.png"))
