"""The replicas' methods that answer at once, by name, each with what goes in and what comes out.

A test holds the names against the deployments' own classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from bestiary.schemas.encoder import (
    ClassifyRequest,
    ClassifyResult,
    ExplainRequest,
    ExplainResult,
    FillMaskRequest,
    FillMaskResult,
    NextSentenceRequest,
    NextSentenceResult,
    RerankRequest,
    RerankResult,
    SimilarityRequest,
    SimilarityResult,
    TokenClassifyRequest,
    TokenClassifyResult,
    TokenEmbeddingRequest,
    TokenEmbeddingResult,
)
from bestiary.schemas.image import (
    DecodeRequest,
    DiscriminateRequest,
    DiscriminateResult,
    EncodeRequest,
    EncodeResult,
    InterpolateRequest,
    LikelihoodRequest,
    LikelihoodResult,
    NoiseRequest,
    NoiseResult,
    PicturesResult,
    ReconstructRequest,
    ReconstructResult,
    TrajectoryRequest,
    TrajectoryResult,
)
from bestiary.schemas.seq2seq import Seq2SeqRequest, Seq2SeqResult


class Timed(Protocol):
    """A request with a deadline."""

    @property
    def deadline_s(self) -> float | None: ...


Q = TypeVar("Q", bound=Timed)
R = TypeVar("R")


@dataclass(frozen=True)
class ReplicaMethod(Generic[Q, R]):
    """`name` is a method of a replica that takes one `asked` and returns one `answered`."""

    name: str
    asked: type[Q]
    answered: type[R]


FILL_MASK = ReplicaMethod("fill_mask", FillMaskRequest, FillMaskResult)
NEXT_SENTENCE = ReplicaMethod("next_sentence", NextSentenceRequest, NextSentenceResult)
CLASSIFY = ReplicaMethod("classify", ClassifyRequest, ClassifyResult)
TOKEN_CLASSIFY = ReplicaMethod("token_classify", TokenClassifyRequest, TokenClassifyResult)
TOKEN_EMBED = ReplicaMethod("token_embed", TokenEmbeddingRequest, TokenEmbeddingResult)
RERANK = ReplicaMethod("rerank", RerankRequest, RerankResult)
SIMILARITY = ReplicaMethod("similarity", SimilarityRequest, SimilarityResult)
EXPLAIN = ReplicaMethod("explain", ExplainRequest, ExplainResult)
GENERATE = ReplicaMethod("generate", Seq2SeqRequest, Seq2SeqResult)
ENCODE_IMAGE = ReplicaMethod("encode_image", EncodeRequest, EncodeResult)
DECODE_IMAGE = ReplicaMethod("decode_image", DecodeRequest, PicturesResult)
RECONSTRUCT = ReplicaMethod("reconstruct", ReconstructRequest, ReconstructResult)
INTERPOLATE = ReplicaMethod("interpolate", InterpolateRequest, PicturesResult)
DISCRIMINATE = ReplicaMethod("discriminate", DiscriminateRequest, DiscriminateResult)
LIKELIHOOD = ReplicaMethod("likelihood", LikelihoodRequest, LikelihoodResult)
NOISE = ReplicaMethod("noise", NoiseRequest, NoiseResult)
TRAJECTORY = ReplicaMethod("trajectory", TrajectoryRequest, TrajectoryResult)
