"""Text-to-image models: a low-rank adapter on a diffusion model's UNet, from captioned pictures.

opening.py        a job -> a tuner, ready to train
base_pipeline.py  the base's networks, as diffusers saved them
prompts.py        captions -> what the UNet reads
pictures.py       bytes -> pixels of the model's size
latents.py        pixels -> latents, worked out once for a job
examples.py       which pictures make which batch
low_rank.py       the adapter on the UNet
trainee.py        the loss, and the same on held-out pictures
style.py          how near generated pictures are to held-out ones
tuner.py          all of it, as a job runs it
saving.py         the tuned pipeline's folder
"""
