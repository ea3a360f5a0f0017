"""What `benchmarks/image.py` is made of: models, contenders, ways of asking.

models.py                        the weights, the same for all
torch_pipelines.py               diffusers in torch, as one would write it
fastapi_worker.py                that behind a plain FastAPI
litserve_worker.py               that behind LitServe, batched
engine_worker.py                 our engine behind a plain FastAPI
asking.py                        clients and what they measure
quality.py                       pictures against steps
peers.py                         the virtual environment that LitServe lives in
"""
