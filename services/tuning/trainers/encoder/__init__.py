"""Encoders: classifiers of texts and of words, and embeddings. Published whole.

opening.py               method -> tuner
bert.py                  a base's body under a head, what of it is learned, how it is saved
encoded.py               texts -> what BERT reads
classification.py        a label for a text
token_classification.py  a tag for each word; tags.py: of words and of word pieces
embedding.py             near vectors for texts that mean the same; pooling.py, retrieval.py
"""
