"""Unconditional generation: sixteen pictures that nobody described, faces where the model has them.

python unconditional.py [MODEL]
"""

import sys

from bestiary_client import Bestiary
from contact_sheet import save_sheet

model = sys.argv[1] if len(sys.argv) > 1 else "auto"
with Bestiary() as client:
    found = client.images.sample(model=model, n=16, seed=1)
print(f"made by {found.model}")
print(save_sheet([found[row : row + 4] for row in range(0, 16, 4)], "unconditional.png"))
