"""Real or made: a GAN's own samples as its discriminator sees them, the most real first."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet

with Bestiary() as client:
    [gan, *_] = [model.id for model in client.models.list() if "image-discriminate" in model.tasks]
    made = client.images.sample(model=gan, n=8, seed=1)
    verdicts = client.images.discriminate(made, model=gan)
order = sorted(range(len(made)), key=lambda index: -verdicts[index].score)
print("probability real:", " ".join(f"{verdicts[index].probability:.2f}" for index in order))
print(save_sheet([[made[index] for index in order]], "discriminator.png"))
