"""Texts, tokenizers and word vectors."""
