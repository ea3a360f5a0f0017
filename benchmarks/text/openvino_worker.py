"""OpenVINO GenAI's continuous batching in a process: asks in, times out. Runs in its own venv.

python openvino_worker.py MODEL_FOLDER
"""

import json
import sys
import time

import numpy as np
import openvino as ov
import openvino_genai as genai


def config(max_tokens):
    made = genai.GenerationConfig()
    made.max_new_tokens = made.min_new_tokens = max_tokens
    made.ignore_eos = True
    made.do_sample = False
    made.apply_chat_template = False
    return made


def pipeline(folder, cached):
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 2  # GB
    scheduler.max_num_seqs = 64
    scheduler.max_num_batched_tokens = 512
    scheduler.enable_prefix_caching = cached
    options = {"INFERENCE_NUM_THREADS": 2}
    return genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", options)


def run(pipe, asks, first_id):
    began = time.perf_counter()
    waiting = sorted(enumerate(asks), key=lambda pair: pair[1]["at_s"])
    told = [{"sent_s": ask["at_s"], "tokens_s": []} for ask in asks]
    running = {}
    while waiting or running:
        now = time.perf_counter() - began
        while waiting and waiting[0][1]["at_s"] <= now:
            index, ask = waiting.pop(0)
            prompt = ov.Tensor(np.array([ask["prompt"]], np.int64))
            handle = pipe.add_request(first_id + index, prompt, config(ask["max_tokens"]))
            running[index] = handle
            told[index]["sent_s"] = now
        if not running:
            time.sleep(0.001)
            continue
        pipe.step()
        now = time.perf_counter() - began
        for index, handle in list(running.items()):
            while handle.can_read():
                for output in handle.read().values():
                    told[index]["tokens_s"] += [now] * len(output.generated_ids)
            if len(told[index]["tokens_s"]) >= asks[index]["max_tokens"]:
                del running[index]
    while pipe.has_non_finished_requests():
        pipe.step()
    return told


def main():
    pipes = {cached: pipeline(sys.argv[1], cached) for cached in (False, True)}
    print(json.dumps({"ready": True}), flush=True)
    next_id = 0
    for line in sys.stdin:
        asks = json.loads(line)
        print(json.dumps(run(pipes[asks[0]["cached"]], asks, next_id)), flush=True)
        next_id += len(asks)


if __name__ == "__main__":
    main()
