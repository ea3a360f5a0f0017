"""Streaming: unfinished pictures on the way, as a program would show them."""

from bestiary_client import Bestiary, ImageProgress
from contact_sheet import save_sheet

with (
    Bestiary() as client,
    client.images.stream_text_to_image("red heart", seed=1, previews=5) as stream,
):
    seen = []
    for event in stream:
        if isinstance(event, ImageProgress) and event.preview is not None:
            print(f"step {event.step} of {event.steps}")
            seen.append(event.preview)
    finished = stream.finish()
print(save_sheet([[*seen, *finished]], "previews.png"))
