"""Text-guided image to image: the same picture and prompt at growing strength."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet
from drawing import face

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

picture = face()
with Bestiary() as client:
    row = [
        client.images.image_to_image(
            picture, "dog face", strength=strength, seed=1, guidance_scale=4
        )[0]
        for strength in STRENGTHS
    ]
print(save_sheet([[picture, *row]], "image_to_image.png"))
