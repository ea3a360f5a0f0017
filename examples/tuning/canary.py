"""Traffic moved onto a tuned model: a tenth first, then half, then all, or back.

    python examples/tuning/canary.py ft:smollm2-135m-instruct:tickets:1a2b3c4d

Without a name: the newest tuned model.
"""

import sys

from bestiary_client import Bestiary

ALIAS = "support"

with Bestiary() as client:
    published = [model.id for model in client.tuning.models.list()]
    if not published:
        sys.exit("nothing is tuned yet: examples/tuning/strict_json.py makes a model")
    candidate = sys.argv[1] if len(sys.argv) > 1 else published[-1]
    canary = client.canaries.start(
        ALIAS, base="otter", candidate=candidate, weights=(0.1, 0.5, 1.0), min_requests=10
    )
    for number in range(20):
        client.chat(f"Ticket {number}: my printer is on fire.", model=ALIAS, max_tokens=16)
    canary = client.canaries.get(ALIAS)
    for name, arm in (("base", canary.base_arm), ("candidate", canary.candidate_arm)):
        print(f"{name}: {arm.requests} requests, {arm.error_rate:.1%} errors")
    print(client.canaries.move(ALIAS, weight=0.5).weight, "of the requests to", candidate)
    print(client.canaries.rollback(ALIAS).state)
    client.canaries.end(ALIAS)
