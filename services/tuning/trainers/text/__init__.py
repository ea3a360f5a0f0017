"""Tunes decoder-only language models: supervised, DPO, continued pre-training, distillation.

chat.py            messages and texts -> token ids, as serving makes them
sequences.py       examples -> the token sequences that are learned from
order.py           which of them make micro batch n
rows.py            a micro batch -> rows of tokens, several sequences in one
losses.py          rows -> the loss of each sequence
tuned_model.py     the weights: adapter or all, the way back to the base, what is saved
lessons.py         what is learned from and measured on, in its order
token_learner.py   learns from sequences
pair_learner.py    learns from pairs of answers
teacher_logits.py  what a teacher's logits add to the loss
teacher_answers.py what a teacher wrote, kept over a kill
answering.py       greedy answers, for evaluation and by the teacher
answer_scores.py   how near answers are to what was expected
general.py         perplexity on general text, for forgetting
tuner.py           all of it, as `services.tuning.trainers.tuner` wants it
opening.py         method -> what opens its tuner
"""
