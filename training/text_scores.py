"""How near written texts are to their references: BLEU, chrF, ROUGE-L, exact match.

BLEU and chrF are sacreBLEU's, between 0 and 100 (Post, "A Call for Clarity in Reporting BLEU
Scores", https://aclanthology.org/W18-6319); ROUGE-L is Google's, an F1 between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF


def bleu(references: Sequence[str], outputs: Sequence[str]) -> float:
    """Over the corpus."""
    # effective_order: shorter texts than four words have no 4-grams to be counted as misses.
    found = BLEU(effective_order=True).corpus_score(list(outputs), [list(references)])
    return float(found.score)


def chrf(references: Sequence[str], outputs: Sequence[str]) -> float:
    """Over the corpus."""
    return float(CHRF().corpus_score(list(outputs), [list(references)]).score)


def rouge_l(references: Sequence[str], outputs: Sequence[str]) -> float:
    """The mean over the texts. Its words are runs of a-z and 0-9: other scripts have none."""
    scorer = RougeScorer(["rougeL"])
    scores = [
        scorer.score(reference, output)["rougeL"].fmeasure
        for reference, output in zip(references, outputs, strict=True)
    ]
    return float(sum(scores) / max(1, len(scores)))


def exact_match(references: Sequence[str], outputs: Sequence[str]) -> float:
    """The share of texts that are the same but for space around them."""
    same = sum(
        reference.strip() == output.strip()
        for reference, output in zip(references, outputs, strict=True)
    )
    return same / max(1, len(references))
