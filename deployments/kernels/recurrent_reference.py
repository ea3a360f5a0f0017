"""The recurrent encoder-decoder in plain torch: what its builds are compared with.

transformers has no such class, and the zoo's own trains; this one reads the same file (its
tensors' names are in `recurrent.py`) and only writes, a token at a time. Source by source and
unbatched, so that nothing here is padded or masked as the graph is.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

from deployments.kernels.checkpoint import Checkpoint

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


class Source(NamedTuple):
    """What the decoder sees of one text, S tokens long."""

    hidden: Tensor  # [S, 2H]
    fixed: Tensor  # [2H], the last state of each direction
    state: Tensor  # [H], the decoder's first


class RecurrentReference:
    """Raises KernelError where the folder is no such checkpoint."""

    def __init__(self, folder: Path) -> None:
        with Checkpoint(folder) as checkpoint:
            config = checkpoint.config
            self._attends = config.flag("attention", False)
            self._start = config.integer("bos_token_id")
            self._end = config.integer("eos_token_id")
            self._output = "output" if "output.weight" in checkpoint else "embedding"
            self._tensors = {
                name: torch.from_numpy(checkpoint.tensor(name).copy()) for name in checkpoint.names
            }

    def written(self, sources: Ids, lengths: Ids, tokens: int) -> tuple[Ids, Floats]:
        """Greedily, never ending: ids [texts, 1 + tokens], and the logits [texts, tokens, V]
        that they were chosen by."""
        with torch.inference_mode():
            rows = [
                self._write(self._read(torch.from_numpy(row[:length])), tokens)
                for row, length in zip(sources, lengths, strict=True)
            ]
        ids, logits = zip(*rows, strict=True)
        return np.array(ids), np.stack(logits)

    def _read(self, ids: Tensor) -> Source:
        embedded = self._tensors["embedding.weight"][ids]
        forward = self._states(embedded, "l0")
        backward = self._states(embedded.flip(0), "l0_reverse").flip(0)
        return Source(
            hidden=torch.cat((forward, backward), -1),
            fixed=torch.cat((forward[-1], backward[0])),
            state=torch.tanh(self._dense(backward[0], "bridge")),
        )

    def _states(self, inputs: Tensor, suffix: str) -> Tensor:
        """Of one direction of the encoder, [S, H]."""
        state = torch.zeros(self._tensors[f"encoder.weight_hh_{suffix}"].shape[1])
        states = []
        for one in inputs:
            state = self._cell(one, state, f"encoder.{{}}_{suffix}")
            states.append(state)
        return torch.stack(states)

    def _write(self, source: Source, tokens: int) -> tuple[list[int], Floats]:
        state, ids, logits = source.state, [self._start], []
        for _ in range(tokens):
            embedded = self._tensors["embedding.weight"][ids[-1]]
            context = self._context(source, state)
            state = self._cell(torch.cat((embedded, context)), state, "decoder.{}")
            read = self._dense(torch.cat((state, embedded, context)), "readout")
            widest = read.unflatten(-1, (-1, 2)).amax(-1)  # maxout, arXiv:1302.4389
            scores = linear(
                widest, self._tensors[f"{self._output}.weight"], self._tensors["output.bias"]
            )
            logits.append(scores.numpy())
            unending = scores.clone()
            unending[self._end] = -torch.inf
            ids.append(int(unending.argmax()))
        return ids, np.stack(logits)

    def _context(self, source: Source, state: Tensor) -> Tensor:
        """[2H]; see `_attended` of `recurrent.py`."""
        if not self._attends:
            return source.fixed
        keys = linear(source.hidden, self._tensors["attention_keys.weight"])
        opened = torch.tanh(self._dense(state, "attention_query") + keys)
        scores = linear(opened, self._tensors["attention_score.weight"])[:, 0]
        return scores.softmax(0) @ source.hidden

    def _cell(self, x: Tensor, state: Tensor, name: str) -> Tensor:
        """A GRU's next state (arXiv:1406.1078), the reset gate after the recurrent product."""
        reset_in, update_in, new_in, reset_by, update_by, new_by = (
            part
            for source, kind in ((x, "ih"), (state, "hh"))
            for part in linear(
                source,
                self._tensors[name.format(f"weight_{kind}")],
                self._tensors[name.format(f"bias_{kind}")],
            ).chunk(3)
        )
        reset, update = torch.sigmoid(reset_in + reset_by), torch.sigmoid(update_in + update_by)
        new = torch.tanh(new_in + reset * new_by)
        return new + update * (state - new)

    def _dense(self, x: Tensor, name: str) -> Tensor:
        return linear(x, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])
