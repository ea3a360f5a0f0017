"""A GAN's latents: truncation trades variety for quality, and seeds can be added and taken away."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet

with Bestiary() as client:
    [gan, *_] = [model.id for model in client.models.list() if "image-discriminate" in model.tasks]
    rows = [
        client.images.sample(model=gan, n=6, seed=1, truncation=bound) for bound in (0.5, 1.0, 3.0)
    ]
    sum_of = [((1, 1.0),), ((2, 1.0),), ((3, 1.0),), ((1, 1.0), (2, -1.0), (3, 1.0))]
    rows.append([client.images.sample(model=gan, latent_terms=terms)[0] for terms in sum_of])
print(save_sheet(rows, "gan_latents.png"))
