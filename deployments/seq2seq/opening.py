"""An installed card -> a running service: what a replica does before its first request."""

from __future__ import annotations

from pathlib import Path

from bestiary.garden import Garden, InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import Seq2SeqEngine as EngineOptions
from bestiary.progress import Progress, Silent
from deployments.kernels.seq2seq import open_seq2seq, prepare_seq2seq
from deployments.kernels.seq2seq_session import Seq2SeqSession
from deployments.seq2seq.engine import Seq2SeqEngine
from deployments.seq2seq.model_defaults import read_defaults
from deployments.seq2seq.pieces import load_pieces
from deployments.seq2seq.service import Seq2SeqService, ServedModel
from deployments.seq2seq.source_tokenizer import SourceTokenizer
from deployments.turn_loop import LoopLimits


def prepare_model(args: ReplicaArgs, home: Path, progress: Progress) -> InstalledModel:
    """Installs the card and builds its graphs, so that a replica's start is only a load."""
    model = Garden(home).install(args.card.id, progress)
    prepare_seq2seq(model, engine_options(args), home, progress)
    return model


def open_service(args: ReplicaArgs, home: Path) -> Seq2SeqService:
    """Raises CardNotInstalled where `prepare_model` was not run before, and KernelError."""
    options = engine_options(args)
    model = Garden(home).installed(args.card.id)
    session = open_seq2seq(model, options, args.resources.threads, home, Silent())
    limits = LoopLimits(options.max_wait_ms / 1e3, args.queue.max_ongoing_requests)
    return service_of(model, session, options, limits)


def service_of(
    model: InstalledModel, session: Seq2SeqSession, options: EngineOptions, limits: LoopLimits
) -> Seq2SeqService:
    """A service of one open session."""
    defaults = read_defaults(model.path)
    longest = min(options.max_source_tokens, model.card.context_length)
    if session.max_source:
        longest = min(longest, session.max_source)
    pieces = load_pieces(model.path, defaults.special.ends[0])
    served = ServedModel(
        card=model.card,
        defaults=defaults,
        tokenizer=SourceTokenizer(pieces, longest),
        max_target=session.max_target,
        shows_attention=session.shows_attention,
    )
    engine = Seq2SeqEngine(session, options.slots, options.max_batch_tokens)
    return Seq2SeqService(served, engine, limits)


def engine_options(args: ReplicaArgs) -> EngineOptions:
    """The profile's seq2seq section, with its defaults where there is none."""
    return args.seq2seq or EngineOptions()
