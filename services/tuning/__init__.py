"""The tuning job service: data, jobs, trainers, evaluation, publication.

data/          training files: read, checked, counted
planning.py    a spec and a report -> a plan
trainers/      run in their own Ray workers; the only part that imports torch
controller.py  starts trainers for queued jobs and keeps them alive
publishing.py  a tuned model -> a card that is served
canaries.py    moves an alias's traffic by rules

What must survive a kill is in `bestiary.state`. Nothing here knows HTTP.
"""
