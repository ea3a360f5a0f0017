"""vLLM's engine on the CPU in a process: asks in, times out. Runs in its own venv.

python vllm_worker.py MODEL_FOLDER [--eager]
"""

import json
import os
import sys
import time

# Read when vllm is imported.
os.environ.update(
    VLLM_CPU_KVCACHE_SPACE="2",  # GB
    VLLM_CPU_NUM_OF_RESERVED_CPU="0",
    VLLM_ENABLE_V1_MULTIPROCESSING="0",
    VLLM_LOGGING_LEVEL="ERROR",
    VLLM_NO_USAGE_STATS="1",
    HF_HUB_OFFLINE="1",
)

from vllm import EngineArgs, LLMEngine, SamplingParams
from vllm.sampling_params import RequestOutputKind


def engine(folder, eager):
    return LLMEngine.from_engine_args(
        EngineArgs(
            model=folder,
            dtype="bfloat16",
            max_model_len=2048,
            max_num_seqs=32,
            block_size=32,
            # Every prompt that is not to be found begins with a token that none began with.
            enable_prefix_caching=True,
            enforce_eager=eager,
        )
    )


def sampling(ask):
    return SamplingParams(
        temperature=ask["temperature"],
        max_tokens=ask["max_tokens"],
        ignore_eos=True,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
    )


def run(engine, asks, first_id):
    began = time.perf_counter()
    waiting = sorted(enumerate(asks), key=lambda pair: pair[1]["at_s"])
    told = [{"sent_s": ask["at_s"], "tokens_s": []} for ask in asks]
    while waiting or engine.has_unfinished_requests():
        now = time.perf_counter() - began
        while waiting and waiting[0][1]["at_s"] <= now:
            index, ask = waiting.pop(0)
            prompt = {"prompt_token_ids": list(ask["prompt"])}
            engine.add_request(str(first_id + index), prompt, sampling(ask))
            told[index]["sent_s"] = now
        if not engine.has_unfinished_requests():
            time.sleep(0.001)
            continue
        outputs = engine.step()
        now = time.perf_counter() - began
        for output in outputs:
            index = int(output.request_id.partition("-")[0]) - first_id
            told[index]["tokens_s"] += [now] * len(output.outputs[0].token_ids)
    return told


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    made = engine(sys.argv[1], "--eager" in sys.argv)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    next_id = 0
    for line in sys.stdin:
        asks = json.loads(line)
        print(json.dumps(run(made, asks, next_id)), file=answers, flush=True)
        next_id += len(asks)


if __name__ == "__main__":
    main()
