"""Quality and cost: fewer steps are faster; the best of several by the model's scorer is better."""

from bestiary_client import Bestiary
from contact_sheet import save_sheet

PROMPT = "smiling face with sunglasses"

with Bestiary() as client:
    quick = [client.images.text_to_image(PROMPT, seed=1, steps=steps)[0] for steps in (2, 4, 8, 16)]
    for one in quick:
        print(
            f"{one.work.steps} steps: {one.work.seconds:.2f} s, {one.work.evaluations} evaluations"
        )
    [best] = client.images.text_to_image(PROMPT, seed=1, best_of=4)
    print(
        "scores:", " ".join(f"{score:.2f}" for score in best.scores) or "this model has no scorer"
    )
print(save_sheet([[*quick, best]], "best_of_and_steps.png"))
