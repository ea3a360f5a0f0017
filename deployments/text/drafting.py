"""Who guesses tokens for a deployment: nobody, a cheaper build of its model, a smaller model.

Opens what the profile's `draft_card` names, and refuses one of another vocabulary.
"""

from __future__ import annotations

from pathlib import Path

from bestiary.errors import ProfileInvalid
from bestiary.garden import Garden, InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import TextEngine
from bestiary.progress import Progress, Silent
from deployments.kernels.decoder import open_decoder, prepare_decoder
from deployments.text.decoder import Decoder
from deployments.text.model_drafter import ModelDrafter
from deployments.text.small_model_drafter import SmallModelDrafter
from deployments.text.speculation import Drafter
from deployments.text.tokenizer import TextTokenizer


def prepare_draft_model(
    args: ReplicaArgs, text: TextEngine, model: InstalledModel, home: Path, progress: Progress
) -> None:
    """Installs and builds the profile's `draft_card`, where there is one that was not yet.

    Raises as `prepare_model` does, and ProfileInvalid where it cannot guess for `model`.
    """
    if text.draft_card is None:
        return
    draft = Garden(home).install(text.draft_card, progress)
    ours, theirs = (TextTokenizer.from_folder(one.path) for one in (model, draft))
    require_same_vocabulary(ours, theirs, args.card.id, draft.card.id)
    prepare_decoder(draft, draft_engine(text, draft), home, progress)


def open_drafter(
    args: ReplicaArgs, text: TextEngine, decoder: Decoder, tokenizer: TextTokenizer, home: Path
) -> Drafter | None:
    """`decoder` checks what is guessed. Raises as `open_model` does, and ProfileInvalid."""
    if text.draft_card is None:
        return None if text.draft_precision is None else ModelDrafter(decoder)
    draft = Garden(home).install(text.draft_card)
    theirs = TextTokenizer.from_folder(draft.path)
    require_same_vocabulary(tokenizer, theirs, args.card.id, draft.card.id)
    engine = draft_engine(text, draft)
    opened = open_decoder(draft, engine, args.resources.threads, home, Silent())
    return SmallModelDrafter(opened, decoder.vocabulary, text.prefill_chunk)


def checking_engine(text: TextEngine) -> TextEngine:
    """Of the model that is served: with a smaller one to guess it needs no build for that."""
    return text if text.draft_card is None else text.model_copy(update={"draft_precision": None})


def draft_engine(text: TextEngine, draft: InstalledModel) -> TextEngine:
    """How the model that guesses runs beside the one that `text` describes."""
    changes = {
        "precision": text.draft_precision or text.precision,
        "draft_precision": None,
        "draft_card": None,
        "context": min(text.context, draft.card.context_length),
    }
    return text.model_copy(update=changes)


def require_same_vocabulary(
    ours: TextTokenizer, theirs: TextTokenizer, card: str, draft_card: str
) -> None:
    """Raises ProfileInvalid where a token has another number: guesses would be of other words."""
    first, second = ours.vocabulary(), theirs.vocabulary()
    if first == second:
        return
    token = min(token for token, _ in first.items() ^ second.items())
    raise ProfileInvalid(
        f"draft_card {draft_card} cannot guess for {card}: their vocabularies differ, token "
        f"{token!r} is {first.get(token, 'absent')} in {card} and "
        f"{second.get(token, 'absent')} in {draft_card}"
    )
