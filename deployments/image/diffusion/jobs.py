"""A setting and seeds -> the jobs that the engine runs. Each picture gets its own generator."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.image.diffusion.course import Course
from deployments.image.diffusion.engine import Job
from deployments.image.diffusion.samplers import Samplers
from deployments.image.diffusion.setting import Setting


def jobs_of(
    owner: object,
    setting: Setting,
    samplers: Samplers,
    seeds: Sequence[int],
    *,
    previews: int = 0,
    watched: bool = False,
) -> list[Job]:
    """One job per seed, in order. Raises InvalidRequest for a sampler that does not fit."""
    jobs = []
    for index, seed in enumerate(seeds):
        plan = setting.plan
        steps = samplers.open(plan.sampler, plan.steps, strength=setting.strength, eta=plan.eta)
        course = Course(
            seed, setting.start, steps, setting.conditions, plan.guidance, plan.cache_threshold
        )
        shown = _watched(previews, len(steps)) if watched else _spread(previews, len(steps))
        jobs.append(Job(owner, index, course, setting.residual, shown, watched))
    return jobs


def _spread(previews: int, steps: int) -> frozenset[int]:
    """Evenly over the steps, without the start and the end."""
    return frozenset(
        round(number * steps / (previews + 1)) for number in range(1, previews + 1)
    ) - {0, steps}


def _watched(frames: int, steps: int) -> frozenset[int]:
    """Evenly, the start and the end included."""
    return frozenset(round(number * steps / (frames - 1)) for number in range(frames))
