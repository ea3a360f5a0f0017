"""Tuning for asyncio: `client.tuning`. Its twin is `_tuning.py`.

What the options mean is in `_tuning_requests.py`, what comes back in `_tuning_results.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from typing_extensions import Unpack

from bestiary_client import _tuning_replies as replies
from bestiary_client._async_files import AsyncFiles
from bestiary_client._async_transport import AsyncTransport
from bestiary_client._errors import BestiaryError
from bestiary_client._file_results import StoredFile
from bestiary_client._json import JsonObject, get_objects, parse_object
from bestiary_client._pages import AsyncPages, next_page
from bestiary_client._requests import Call
from bestiary_client._tuning_requests import (
    MODELS,
    POLL_TIMEOUT_S,
    TuningOptions,
    check_options,
    create_call,
    delete_model_call,
    estimate_call,
    events_call,
    extra_call,
    id_in,
    job_call,
    list_call,
    look_call,
    model_call,
)
from bestiary_client._tuning_results import (
    JobCheckpoint,
    JobEvent,
    JobNews,
    StepMetrics,
    TunedModel,
    TuningEstimate,
    TuningJob,
)
from bestiary_client._tuning_watch import DEFAULT_PATIENCE_S, PAGE, Watch
from bestiary_client._uploads import FileInput


class AsyncTuning:
    """Jobs that make new models of old ones. A file is an id, or what `files.upload` takes."""

    def __init__(
        self,
        transport: AsyncTransport,
        files: AsyncFiles,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._files = files
        self._sleep = sleep
        self.models = AsyncTunedModels(transport)

    async def estimate(
        self, base: str, training_file: FileInput | StoredFile, **options: Unpack[TuningOptions]
    ) -> TuningEstimate:
        """What a job would do and how long it would take; nothing is started."""
        check_options(options)
        given = await self._stored(training_file)
        held_out = await self._stored_or_none(options.get("validation_file"))
        return replies.estimate(await self._fetch(estimate_call(base, given, held_out, options)))

    async def create(
        self,
        base: str,
        training_file: FileInput | StoredFile,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[TuningOptions],
    ) -> TuningJob:
        """Queues a job. The same `idempotency_key` gives the same job, however often it is sent.

        Raises BadRequest where base, method and data do not fit each other.
        """
        check_options(options)
        given = await self._stored(training_file)
        held_out = await self._stored_or_none(options.get("validation_file"))
        return await self._job(create_call(base, given, held_out, options, idempotency_key))

    async def get(self, job: str | TuningJob) -> TuningJob:
        """As it is now. Raises NotFound."""
        return await self._job(job_call("GET", job))

    def list(
        self,
        *,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> AsyncPages[TuningJob]:
        """Newest first. `limit`: of one page; pages follow each other by themselves."""
        return AsyncPages(list_call(metadata, limit), self._fetch, replies.tuning_job)

    async def cancel(self, job: str | TuningJob) -> TuningJob:
        """Ends it for good. Raises Conflict where it has ended already."""
        return await self._job(job_call("POST", job, "/cancel"))

    async def pause(self, job: str | TuningJob) -> TuningJob:
        """It keeps its checkpoint and gives its trainer away, until `resume`."""
        return await self._job(job_call("POST", job, "/pause"))

    async def resume(self, job: str | TuningJob) -> TuningJob:
        """Queues a paused job again; it goes on where it was."""
        return await self._job(job_call("POST", job, "/resume"))

    def events(self, job: str | TuningJob) -> AsyncPages[JobEvent]:
        """Newest first, each step's metrics among them."""
        return AsyncPages(events_call(job, PAGE), self._fetch, replies.job_event)

    def checkpoints(self, job: str | TuningJob) -> AsyncPages[JobCheckpoint]:
        """Newest first."""
        return AsyncPages(job_call("GET", job, "/checkpoints"), self._fetch, replies.checkpoint)

    async def metrics(self, job: str | TuningJob) -> tuple[StepMetrics, ...]:
        """Of every step so far, in order."""
        return replies.step_metrics(await self._fetch(extra_call(job, "metrics")))

    async def curve(self, job: str | TuningJob) -> bytes:
        """The loss over the steps, as a PNG file."""
        answer = await self._transport.send(extra_call(job, "curve.png"))
        return answer.content

    async def wait(
        self,
        job: str | TuningJob,
        *,
        timeout: float | None = None,
        on_event: Callable[[JobEvent], None] | None = None,
        patience: float = DEFAULT_PATIENCE_S,
    ) -> TuningJob:
        """Returns the job when it has succeeded, failed or been cancelled.

        Raises TimedOut after `timeout` seconds; the job goes on.
        """
        job = await self.get(job)
        async for news in self.follow(job, timeout=timeout, patience=patience):
            job = news.job
            if on_event is not None:
                for event in news.events:
                    on_event(event)
        return job

    async def stream_events(
        self,
        job: str | TuningJob,
        *,
        timeout: float | None = None,
        patience: float = DEFAULT_PATIENCE_S,
    ) -> AsyncIterator[JobEvent]:
        """Every event from the first one on, as they come, until the job has ended."""
        async for news in self.follow(job, timeout=timeout, patience=patience):
            for event in news.events:
                yield event

    async def follow(
        self,
        job: str | TuningJob,
        *,
        history: bool = True,
        timeout: float | None = None,
        patience: float = DEFAULT_PATIENCE_S,
    ) -> AsyncIterator[JobNews]:
        """Looks at the job again and again until it has ended, every few seconds.

        Without `history`, events from before the first look are left out. While the platform
        is away the news say so (`lost`), for up to `patience` seconds at a stretch; then the
        error is raised, as it is where an id was given and the first look fails. Raises TimedOut
        after `timeout` seconds.
        """
        known = job if isinstance(job, TuningJob) else None
        watch = Watch(patience=patience, timeout=timeout, history=history, known=known)
        while True:
            try:
                news = await self._look(job, watch)
            except BestiaryError as error:
                news = watch.lost(error)
            yield news
            if news.job.final and news.lost is None:
                return
            await self._sleep(watch.wait_s())

    async def _look(self, job: str | TuningJob, watch: Watch) -> JobNews:
        """The job first: then no event of its end is missed."""
        found = await self._job(look_call(job))
        watch.begin_look()
        call: Call | None = events_call(job, PAGE, POLL_TIMEOUT_S)
        while call is not None:
            page = await self._fetch(call)
            more = watch.take([replies.job_event(one) for one in get_objects(page, "data")])
            call = next_page(call, page) if more else None
        return watch.news(found)

    async def _stored(self, given: FileInput | StoredFile) -> str:
        if isinstance(given, StoredFile):
            return given.id
        return id_in(given) or (await self._files.upload(given)).id

    async def _stored_or_none(self, given: FileInput | StoredFile | None) -> str | None:
        return None if given is None else await self._stored(given)

    async def _job(self, call: Call) -> TuningJob:
        return replies.tuning_job(await self._fetch(call))

    async def _fetch(self, call: Call) -> JsonObject:
        answer = await self._transport.send(call)
        return parse_object(answer.content)


class AsyncTunedModels:
    """Models that jobs have published."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self) -> AsyncPages[TunedModel]:
        """Those that are served, with where they come from."""
        return AsyncPages(Call("GET", MODELS), self._fetch, replies.tuned_model)

    async def get(self, model: str | TunedModel) -> TunedModel:
        """Raises ModelNotFound."""
        return replies.tuned_model(await self._fetch(model_call(model)))

    async def delete(self, model: str | TunedModel) -> None:
        """It answers no more. Raises ModelNotFound, and Conflict while a canary names it."""
        await self._fetch(delete_model_call(model))

    async def _fetch(self, call: Call) -> JsonObject:
        answer = await self._transport.send(call)
        return parse_object(answer.content)
