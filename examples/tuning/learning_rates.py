"""Three learning rates at once, none published; the best one is told. With asyncio."""

import asyncio

from bestiary_client import AsyncBestiary, StoredFile, TuningJob
from tickets import chat_lines, tickets


async def tried(client: AsyncBestiary, file: StoredFile, rate: float) -> tuple[float, TuningJob]:
    job = await client.tuning.create(
        "otter", file, learning_rate=rate, steps=30, publish=False, metadata={"rate": str(rate)}
    )
    return rate, await client.tuning.wait(job)


async def main() -> None:
    async with AsyncBestiary() as client:
        file = await client.files.upload(chat_lines(tickets(200, seed=5)), filename="tickets.jsonl")
        found = await asyncio.gather(*(tried(client, file, rate) for rate in (1e-4, 3e-4, 1e-3)))
        losses = {rate: job.evaluation.tuned["loss"] for rate, job in found if job.evaluation}
        for rate, loss in losses.items():
            print(f"learning rate {rate:g}: held-out loss {loss:.4f}")
        print("best:", min(losses, key=lambda rate: losses[rate]))


asyncio.run(main())
