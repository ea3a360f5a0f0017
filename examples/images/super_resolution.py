"""Super-resolution: a small picture, and what every model that enlarges makes of it."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face

small = face(16)
with Bestiary() as client:
    able = [model.id for model in client.models.list() if "super-resolution" in model.tasks]
    large = [client.images.super_resolve(small, model=model, seed=1)[0] for model in able]
for model, picture in zip(able, large, strict=True):
    print(f"{model}: {small.width}x{small.height} became {picture.width}x{picture.height}")
print(save_sheet([[small, *large]], "super_resolution.png"))
