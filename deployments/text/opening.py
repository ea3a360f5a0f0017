"""A card -> a running service: what a replica does before its first request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import CardInvalid
from bestiary.garden import Garden, InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import TextEngine
from bestiary.progress import Progress, Silent
from deployments.kernels.adapter_memory import AdapterLimits
from deployments.kernels.adapters import AdapterBank
from deployments.kernels.decoder import open_decoder, prepare_decoder
from deployments.kernels.precision_choice import chosen_precision
from deployments.kernels.providers import choose_providers, machine_probe
from deployments.text.adapter_line import AdapterLine
from deployments.text.constraints import compiler_of
from deployments.text.decoder import Decoder
from deployments.text.drafting import checking_engine, open_drafter, prepare_draft_model
from deployments.text.engine import Engine, EngineOptions
from deployments.text.intake import Intake
from deployments.text.loop import EngineLoop
from deployments.text.obligations import Obligations
from deployments.text.prompts import ChatTemplate
from deployments.text.service import TextService
from deployments.text.speculation import Drafter
from deployments.text.tokenizer import TextTokenizer
from deployments.text.tools.formats import MARKERS, format_named, format_of
from deployments.text.tools.tool_format import ToolFormat

MIB = 2**20
FLOAT_PRECISIONS = ("fp32", "fp16", "bf16")  # activations stay floats


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model in memory, ready for an engine."""

    decoder: Decoder
    drafter: Drafter | None  # None: nobody guesses but by looking up
    adapters: AdapterBank | None  # None: it takes none
    tokenizer: TextTokenizer
    template: ChatTemplate | None
    obligations: Obligations


def prepare_model(args: ReplicaArgs, home: Path, progress: Progress) -> InstalledModel:
    """Installs the card and builds its graph, where that was not done before.

    Raises GardenError, CardNotInstalled and KernelError.
    """
    model = Garden(home).install(args.card.id, progress)
    text = engine_options(args)
    adapters = text.adapter_slots > 0
    prepare_decoder(model, checking_engine(text), home, progress, adapters=adapters)
    prepare_draft_model(args, text, model, home, progress)
    return model


def open_model(args: ReplicaArgs, home: Path) -> OpenModel:
    """Only a load where `prepare_model` was run before. Blocks: call it in a thread.

    Raises GardenError, CardNotInstalled and KernelError.
    """
    model = Garden(home).install(args.card.id)
    tokenizer = TextTokenizer.from_folder(model.path, visible=MARKERS)
    text = engine_options(args)
    limits = AdapterLimits(text.adapter_slots, text.adapter_rank) if text.adapter_slots else None
    threads, checking = args.resources.threads, checking_engine(text)
    decoder = open_decoder(model, checking, threads, home, Silent(), adapters=limits)
    drafter = open_drafter(args, text, decoder, tokenizer, home)
    adapters = None if decoder.adapters is None else AdapterBank(decoder.adapters)
    source = model.chat_template
    template = None if source is None else ChatTemplate(source, tokenizer.special_tokens)
    grammars = compiler_of(tokenizer.serialized(), decoder.vocabulary, tokenizer.end_ids)
    obligations = Obligations(grammars, _tool_format(args, template, source), tokenizer.id_of)
    return OpenModel(decoder, drafter, adapters, tokenizer, template, obligations)


async def open_service(args: ReplicaArgs, home: Path) -> TextService:
    """On the event loop that the service will run on."""
    model = await asyncio.to_thread(open_model, args, home)
    return start_service(model, args)


def start_service(model: OpenModel, args: ReplicaArgs) -> TextService:
    """Starts the engine's thread."""
    decoder, tokenizer = model.decoder, model.tokenizer
    waiting = args.queue.max_ongoing_requests
    text = engine_options(args)
    options = EngineOptions(
        prefill_chunk=text.prefill_chunk,
        max_waiting=waiting,
        prefix_cache_bytes=text.prefix_cache_mb * MIB,
        swap_bytes=text.swap_mb * MIB,
        speculate=text.speculate,
        checks_are_exact=text.precision in FLOAT_PRECISIONS,
    )
    engine = Engine(decoder, tokenizer, tokenizer.end_ids, options, drafter=model.drafter)
    context, vocabulary = decoder.max_length, decoder.vocabulary
    intake = Intake(tokenizer, model.template, context, vocabulary, model.obligations)
    adapters = None if model.adapters is None else AdapterLine(model.adapters, waiting)
    return TextService(intake, EngineLoop(engine, waiting), adapters=adapters)


def _tool_format(
    args: ReplicaArgs, template: ChatTemplate | None, source: str | None
) -> ToolFormat:
    """The card's, where the template speaks of tools at all: else they are told in words."""
    if args.card.tool_format is not None and template is not None and template.knows_tools:
        return format_named(args.card.tool_format)
    return format_of(source)


def engine_options(args: ReplicaArgs) -> TextEngine:
    """The profile's text section for this machine; its context is never over the card's."""
    if args.text is None:
        raise CardInvalid(f"deployment {args.deployment!r} has no text section")
    context = min(args.text.context, args.card.context_length)
    precision = chosen_precision(args.text.precision, choose_providers(machine_probe()))
    return args.text.model_copy(update={"context": context, "precision": precision})
