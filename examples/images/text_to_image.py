"""Text to image: four prompts, four seeds each; guidance says how closely to follow."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet

PROMPTS = ("red heart", "smiling face with sunglasses", "dog face", "yellow star")

with Bestiary() as client:
    rows = [
        client.images.text_to_image(prompt, n=4, seed=1, guidance_scale=4) for prompt in PROMPTS
    ]
    for prompt, row in zip(PROMPTS, rows, strict=True):
        cost = row.usage
        print(f"{prompt}: {cost.seconds:.2f} s, {cost.evaluations} evaluations of the network")
print(save_sheet(rows, "text_to_image.png"))
