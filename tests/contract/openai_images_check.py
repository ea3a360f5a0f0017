"""Checks that OpenAI's SDK, unmodified, works with a gateway's images. Run it in the SDK's own
environment: `python openai_images_check.py --base-url URL --key KEY`.
"""

from __future__ import annotations

import argparse
import base64
import struct
import sys
import traceback
import urllib.request
import zlib
from collections.abc import Callable

import openai

PNG = b"\x89PNG\r\n\x1a\n"
WHITE = (255, 255, 255)


def png(side: int = 8, colour: tuple[int, int, int] = (200, 0, 0)) -> bytes:
    """A file of one colour, without any library."""

    def part(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = (b"\0" + bytes(colour) * side) * side
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return PNG + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


class Checks:
    def __init__(self, base_url: str, key: str) -> None:
        self.client = openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0)

    def check_a_prompt_becomes_pictures(self) -> None:
        said = self.client.images.generate(prompt="a red heart", n=2)
        assert said.created > 0
        assert len(said.data) == 2
        assert all(base64.b64decode(one.b64_json).startswith(PNG) for one in said.data)

    def check_a_url_opens_without_a_header(self) -> None:
        said = self.client.images.generate(prompt="a red heart", response_format="url")
        with urllib.request.urlopen(said.data[0].url) as got:
            assert got.headers["content-type"] == "image/png"
            assert got.read().startswith(PNG)

    def check_unfinished_pictures_come_as_events(self) -> None:
        stream = self.client.images.generate(prompt="a red heart", stream=True, partial_images=2)
        events = list(stream)
        kinds = [event.type for event in events]
        assert kinds[-1] == "image_generation.completed", kinds
        assert set(kinds[:-1]) == {"image_generation.partial_image"}, kinds
        assert [event.partial_image_index for event in events[:-1]] == [0, 1]
        assert all(base64.b64decode(event.b64_json).startswith(PNG) for event in events)
        assert events[-1].usage.total_tokens == 0

    def check_a_masked_picture_is_edited(self) -> None:
        said = self.client.images.edit(image=png(), mask=png(colour=WHITE), prompt="a hat")
        assert base64.b64decode(said.data[0].b64_json).startswith(PNG)

    def check_a_picture_in_a_list_is_edited(self) -> None:
        said = self.client.images.edit(image=[("a.png", png())], prompt="a hat", n=2)
        assert len(said.data) == 2

    def check_an_edit_streams(self) -> None:
        stream = self.client.images.edit(image=png(), prompt="a hat", stream=True)
        assert [event.type for event in stream] == ["image_edit.completed"]

    def check_a_picture_is_varied(self) -> None:
        said = self.client.images.create_variation(image=png(), n=2)
        assert len(said.data) == 2

    def check_extensions_go_in_the_extra_body(self) -> None:
        more = {"seed": 7, "steps": 3, "guidance_scale": 2.0, "negative_prompt": "blue"}
        said = self.client.images.generate(prompt="a red heart", extra_body=more)
        assert said.data[0].bestiary["seed"] == 7

    def check_bad_input_is_the_sdks_own_error(self) -> None:
        refused = self._refused(lambda: self.client.images.generate(prompt="a", size="large"))
        assert refused.param == "size", refused.param

    def check_what_is_no_picture_is_refused(self) -> None:
        refused = self._refused(lambda: self.client.images.create_variation(image=b"GIF89a"))
        assert (refused.param, refused.code) == ("image", "image_unreadable")

    def _refused(self, call: Callable[[], object]) -> openai.BadRequestError:
        raised = None
        try:
            call()
        except openai.BadRequestError as error:
            raised = error
        assert raised is not None, "nothing was raised"
        return raised


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True, help="for instance http://127.0.0.1:8000")
    parser.add_argument("--key", required=True)
    options = parser.parse_args()
    checks = Checks(options.base_url, options.key)
    failed = 0
    for name in [name for name in vars(Checks) if name.startswith("check_")]:
        title = name.removeprefix("check_").replace("_", " ")
        try:
            getattr(checks, name)()
        except Exception:  # noqa: BLE001  (every check runs, whatever became of the others)
            failed += 1
            print(f"FAILED  {title}\n{traceback.format_exc()}", flush=True)
        else:
            print(f"ok      {title}", flush=True)
    print(f"openai {openai.__version__}: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
