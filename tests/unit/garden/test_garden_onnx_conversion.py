"""Two int8 graphs of a T5 become a folder that transformers opens: the dequantised weights."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import T5Config, T5ForConditionalGeneration

from bestiary.errors import GardenError
from bestiary.garden.card import Family, ModelCard, Source, WeightsFormat
from bestiary.garden.garden import Garden

Weights = dict[str, torch.Tensor]


def small_t5() -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=40,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=3,
        feed_forward_proj="gated-gelu",
        relative_attention_num_buckets=8,
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    model.lm_head.weight = torch.nn.Parameter(torch.randn(40, 32))
    return model.eval()


def quantised(name: str, weight: np.ndarray) -> list[onnx.TensorProto]:
    """As ONNX Runtime leaves it: uint8 around a zero point, for a whole matrix."""
    scale = np.float32((weight.max() - weight.min()) / 255)
    zero = np.uint8(np.rint(-weight.min() / scale))
    data = np.clip(np.rint(weight / scale) + zero, 0, 255).astype(np.uint8)
    return [
        numpy_helper.from_array(data, f"{name}_quantized"),
        numpy_helper.from_array(scale, f"{name}_scale"),
        numpy_helper.from_array(zero, f"{name}_zero_point"),
    ]


def write_graph(path: Path, part: str, weights: Weights, prefix: str) -> None:
    """Only what the conversion looks at: initializers, and nodes with their names."""
    stored, nodes = [], []
    for name, weight in weights.items():
        value = weight.detach().numpy()
        own = name.replace(f"{part}.", prefix, 1)
        if name.endswith("layer_norm.weight"):
            stored.append(numpy_helper.from_array(value, own))
        elif "relative" in name or name == "shared.weight":
            own = f"{prefix}embed_tokens.weight" if name == "shared.weight" else own
            stored += quantised(own, value)
        else:
            stored += quantised(f"onnx::MatMul_{len(nodes)}", value.T)
            node = re.sub(r"(block|layer)\.", r"\1.", own.removesuffix(".weight"))
            spelt = re.sub(r"\.(layer|SelfA|EncDec|Dense|q$|k$|v$|o$|wi_|wo$)", r"/\1", node)
            nodes.append(
                helper.make_node(
                    "MatMulInteger",
                    ["x_quantized", f"onnx::MatMul_{len(nodes)}_quantized"],
                    [f"y{len(nodes)}"],
                    name=f"/{spelt}/MatMul_quant",
                )
            )
    output = helper.make_tensor_value_info("y0", TensorProto.INT32, None)
    graph = helper.make_graph(nodes, part, [], [output], stored)
    path.write_bytes(helper.make_model(graph).SerializeToString())


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, T5ForConditionalGeneration]:
    model = small_t5()
    state = model.state_dict()
    folder = tmp_path / "published"
    folder.mkdir()
    shared = {"shared.weight": state["shared.weight"]}
    for part, prefix in (("encoder", "enc."), ("decoder", "m.decoder.")):
        own = {k: v for k, v in state.items() if k.startswith(part) and "embed" not in k}
        head = {"lm_head.weight": state["lm_head.weight"]} if part == "decoder" else {}
        write_graph(folder / f"{part}.onnx", part, shared | own | head, prefix)
    tokenizer = Tokenizer(WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3}, "<unk>"))
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder, model


def card(folder: Path) -> ModelCard:
    files = ("encoder.onnx", "decoder.onnx", "tokenizer.json")
    source = Source(url=folder.as_uri(), format=WeightsFormat.ONNX_INT8)
    listed = source.model_copy(update={"files": {name: digest(folder / name) for name in files}})
    return ModelCard(
        id="small-titles",
        family=Family.SEQ2SEQ,
        architecture="T5ForConditionalGeneration",
        title="small",
        parameters=1,
        context_length=512,
        license="none",
        provenance="random",
        sources=(listed,),
    )


def digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def install(home: Path, folder: Path) -> Path:
    garden = Garden(home)
    (home / "cards").mkdir(parents=True)
    text = card(folder).model_dump_json()  # JSON is YAML too
    (home / "cards" / "small-titles.yaml").write_text(text)
    return garden.install("small-titles").path


def test_transformers_opens_what_was_converted(
    published: tuple[Path, T5ForConditionalGeneration], tmp_path: Path
) -> None:
    folder, model = published
    converted = T5ForConditionalGeneration.from_pretrained(install(tmp_path / "home", folder))
    expected, found = model.state_dict(), converted.state_dict()
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        step = float(weight.max() - weight.min()) / 255
        assert (found[name] - weight).abs().max() <= step, name


def test_it_says_what_the_original_said(
    published: tuple[Path, T5ForConditionalGeneration], tmp_path: Path
) -> None:
    folder, model = published
    converted = T5ForConditionalGeneration.from_pretrained(install(tmp_path / "home", folder))
    assert converted.config.scale_decoder_outputs is False
    ids, targets = torch.tensor([[5, 9, 3, 1]]), torch.tensor([[0, 7, 8]])
    with torch.no_grad():
        expected = model(input_ids=ids, decoder_input_ids=targets).logits.softmax(-1)
        found = converted.eval()(input_ids=ids, decoder_input_ids=targets).logits.softmax(-1)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_a_graph_of_another_model_is_refused(
    published: tuple[Path, T5ForConditionalGeneration], tmp_path: Path
) -> None:
    folder, _ = published
    graph = onnx.load(str(folder / "encoder.onnx"))
    graph.graph.node[0].name = "/bert/attention/MatMul"
    (folder / "encoder.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(GardenError, match="is no layer of a T5"):
        install(tmp_path / "home", folder)


def test_other_files_are_refused(
    published: tuple[Path, T5ForConditionalGeneration], tmp_path: Path
) -> None:
    folder, _ = published
    (tmp_path / "home" / "cards").mkdir(parents=True)
    whole = card(folder)
    only = {"encoder.onnx": digest(folder / "encoder.onnx")}
    source = whole.sources[0].model_copy(update={"files": only})
    wrong = whole.model_copy(update={"sources": (source,)})
    (tmp_path / "home" / "cards" / "small-titles.yaml").write_text(wrong.model_dump_json())
    with pytest.raises(GardenError, match=r"name decoder.onnx, encoder.onnx, tokenizer.json"):
        Garden(tmp_path / "home").install("small-titles")
