"""The same platform through OpenAI's own SDK: `pip install openai`.

BESTIARY_URL (default http://127.0.0.1:8000) and the key in BESTIARY_HOME say which platform.
"""

import base64
import os
from pathlib import Path

from openai import OpenAI

home = Path(os.environ.get("BESTIARY_HOME", Path.home() / ".bestiary"))
url = os.environ.get("BESTIARY_URL", "http://127.0.0.1:8000")
client = OpenAI(base_url=f"{url}/v1", api_key=(home / "key").read_text().strip())

answer = client.images.generate(
    prompt="red heart", extra_body={"seed": 1, "guidance_scale": 4, "negative_prompt": "blue"}
)
Path("openai_sdk.png").write_bytes(base64.b64decode(answer.data[0].b64_json))
print("openai_sdk.png")
