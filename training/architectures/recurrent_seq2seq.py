"""The recurrent encoder-decoder: GRU to GRU, with Bahdanau's attention or without it.

arXiv:1409.0473, one bidirectional encoder layer and one decoder layer; one vocabulary and one
embedding table for both languages. Without attention the context is one fixed vector, the
encoder's two last states, read at every step as in arXiv:1406.1078; all else is the same.
Knows tensors and its own two files; no text, no training.

With E `embedding_size`, H `hidden_size` and V `vocab_size`, for a source h_1..h_S (2H wide):

    s_0 = tanh(bridge(backward state at the first token))
    e_tj = attention_score(tanh(attention_query(s_{t-1}) + attention_keys(h_j)))
    c_t = sum_j softmax(e_t)_j h_j
    s_t = decoder([embedding(y_{t-1}), c_t], s_{t-1})
    logits_t = output(maxout(readout([s_t, embedding(y_{t-1}), c_t])))

State dict, as `model.safetensors` holds it (GRU gates in torch's order: reset, update, new):

    embedding.weight            [V, E]       also the output's, where tie_word_embeddings
    encoder.weight_ih_l0        [3H, E]      and weight_hh_l0 [3H, H], bias_ih_l0, bias_hh_l0 [3H],
                                             and all four again with the suffix `_reverse`
    bridge.weight, .bias        [H, H], [H]
    attention_keys.weight       [H, 2H]      with attention only, as the next two
    attention_query.weight, .bias  [H, H], [H]
    attention_score.weight      [1, H]
    decoder.weight_ih           [3H, E + 2H] and weight_hh [3H, H], bias_ih, bias_hh [3H]
    readout.weight, .bias       [2E, H + E + 2H], [2E]; pairs of neighbours, the larger one stays
    output.weight               [V, E]       absent where tie_word_embeddings
    output.bias                 [V]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ARCHITECTURE = "RecurrentSeq2Seq"
MODEL_TYPE = "recurrent-seq2seq"


@dataclass(frozen=True, slots=True)
class RecurrentConfig:
    """`config.json`. `max_position`: the longest source and target, in tokens."""

    vocab_size: int
    embedding_size: int
    hidden_size: int
    attention: bool
    pad_token_id: int
    bos_token_id: int  # what the decoder starts with
    eos_token_id: int  # ends sources and targets
    max_position: int = 256
    tie_word_embeddings: bool = True
    dropout: float = 0.0  # of embeddings and of the readout, while training


class RecurrentSeq2Seq(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        embedded, hidden = config.embedding_size, config.hidden_size
        context = 2 * hidden
        self.embedding = nn.Embedding(config.vocab_size, embedded)
        nn.init.normal_(self.embedding.weight, std=embedded**-0.5)  # it may be the output's too
        self.encoder = nn.GRU(embedded, hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(hidden, hidden)
        if config.attention:
            self.attention_keys = nn.Linear(context, hidden, bias=False)
            self.attention_query = nn.Linear(hidden, hidden)
            self.attention_score = nn.Linear(hidden, 1, bias=False)
        self.decoder = nn.GRUCell(embedded + context, hidden)
        self.readout = nn.Linear(hidden + embedded + context, 2 * embedded)
        self.output = nn.Linear(embedded, config.vocab_size)
        if config.tie_word_embeddings:
            self.output.weight = self.embedding.weight
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, input_ids: Tensor, lengths: Tensor, decoder_input_ids: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Teacher forcing: logits [B, T, V], and with attention its weights [B, T, S].

        `input_ids` int64 [B, S], padded on the right; `lengths` int64 [B], each at least 1;
        `decoder_input_ids` int64 [B, T], which begin with `bos_token_id`.
        """
        source = self.encode(input_ids, lengths)
        embedded = self.dropout(self.embedding(decoder_input_ids))
        state, states, contexts, looked = source.state, [], [], []
        for step in range(decoder_input_ids.shape[1]):
            context, weights = self._context(source, state)
            state = self.decoder(torch.cat((embedded[:, step], context), -1), state)
            states.append(state)
            contexts.append(context)
            looked.append(weights)
        read = self._read(torch.stack(states, 1), embedded, torch.stack(contexts, 1))
        with_weights = [weights for weights in looked if weights is not None]
        return read, torch.stack(with_weights, 1) if with_weights else None

    def encode(self, input_ids: Tensor, lengths: Tensor) -> EncodedSource:
        packed = nn.utils.rnn.pack_padded_sequence(
            self.dropout(self.embedding(input_ids)),
            lengths.cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        outputs, last = self.encoder(packed)  # last [2, B, H]: forward's, then backward's
        hidden, _ = nn.utils.rnn.pad_packed_sequence(
            outputs, batch_first=True, total_length=input_ids.shape[1]
        )
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        return EncodedSource(
            hidden=hidden,
            keys=self.attention_keys(hidden) if self.config.attention else None,
            fixed=torch.cat((last[0], last[1]), -1),
            outside=places[None, :] >= lengths.to(input_ids.device)[:, None],
            state=torch.tanh(self.bridge(last[1])),
        )

    def step(
        self, source: EncodedSource, token_ids: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One token of each row, int64 [B], after `state` [B, H]: logits [B, V], the next
        state, and with attention its weights [B, S]."""
        embedded = self.embedding(token_ids)
        context, weights = self._context(source, state)
        state = self.decoder(torch.cat((embedded, context), -1), state)
        return self._read(state, embedded, context), state, weights

    @torch.no_grad()  # type: ignore[untyped-decorator]  # as above
    def greedy(self, input_ids: Tensor, lengths: Tensor, max_tokens: int) -> list[list[int]]:
        """The likeliest token after the likeliest, end token left out. The slow twin of the
        engine, and what a trainer measures itself with."""
        source = self.encode(input_ids, lengths)
        state = source.state
        tokens = torch.full((len(input_ids),), self.config.bos_token_id, device=input_ids.device)
        rows: list[list[int]] = [[] for _ in range(len(input_ids))]
        live = set(range(len(rows)))
        for _ in range(max_tokens):
            logits, state, _ = self.step(source, tokens, state)
            tokens = logits.argmax(-1)
            for row, token in enumerate(tokens.tolist()):
                if token == self.config.eos_token_id:
                    live.discard(row)
                elif row in live:
                    rows[row].append(token)
            if not live:
                break
        return rows

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """`config.json` and `model.safetensors`, as `from_pretrained` and the kernel read them."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.detach().to(dtype) for name, value in self.state_dict().items()}
        if self.config.tie_word_embeddings:
            del state["output.weight"]
        tensors = {name: value.contiguous() for name, value in state.items()}
        save_file(tensors, folder / "model.safetensors")
        written = {"architectures": [ARCHITECTURE], "model_type": MODEL_TYPE}
        text = json.dumps(written | asdict(self.config), indent=2)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: Path) -> RecurrentSeq2Seq:
        """In float32 and for inference, whatever the file keeps."""
        config = read_recurrent_config(
            json.loads((folder / "config.json").read_text(encoding="utf-8"))
        )
        model: RecurrentSeq2Seq = cls(config)
        tensors = load_file(folder / "model.safetensors")
        state = {name: value.float() for name, value in tensors.items()}
        if config.tie_word_embeddings:
            state["output.weight"] = state["embedding.weight"]
        model.load_state_dict(state)
        model.eval()
        return model

    def _context(self, source: EncodedSource, state: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the decoder sees of the source in one step: [B, 2H]; the weights [B, S]."""
        if source.keys is None:
            return source.fixed, None
        opened = torch.tanh(self.attention_query(state)[:, None] + source.keys)
        scores = self.attention_score(opened)[..., 0].masked_fill(source.outside, -torch.inf)
        weights = scores.softmax(-1)
        return torch.bmm(weights[:, None], source.hidden)[:, 0], weights

    def _read(self, state: Tensor, embedded: Tensor, context: Tensor) -> Tensor:
        read = self.readout(torch.cat((state, embedded, context), -1))
        widest = read.unflatten(-1, (-1, 2)).amax(-1)  # maxout, arXiv:1302.4389
        logits: Tensor = self.output(self.dropout(widest))
        return logits


@dataclass(frozen=True, slots=True)
class EncodedSource:
    """What the decoder needs of a batch of B sources."""

    hidden: Tensor  # [B, S, 2H], zero where padded
    keys: Tensor | None  # [B, S, H], with attention
    fixed: Tensor  # [B, 2H]: the two last states
    outside: Tensor  # bool [B, S]: padding
    state: Tensor  # [B, H]: the decoder's first


def read_recurrent_config(values: Mapping[str, object]) -> RecurrentConfig:
    """Of a `config.json`. Raises ValueError for another architecture, KeyError for a torso."""
    if values.get("architectures") != [ARCHITECTURE]:
        raise ValueError(f"{values.get('architectures')} is not [{ARCHITECTURE!r}]")
    known = {field.name for field in fields(RecurrentConfig)}
    return RecurrentConfig(**{name: value for name, value in values.items() if name in known})  # type: ignore[arg-type]  # JSON
