"""The router: picks a tier and a model for a request, and reaches its Serve handle.

`names.py`, `splits.py` and `policy.py` are pure; `live_rules.py` makes a new policy whenever a
model is published or a canary moves; `load_board.py` watches the replicas; `dispatcher.py` is the
thin part that sends; `arms.py` counts how that ends for a canary. None of it knows HTTP or imports
`ray.serve`: `services/gateway/deployment.py` hands in what reaches Ray (the recipe is in
`model_handle.py` and `load_board.py`).
"""
