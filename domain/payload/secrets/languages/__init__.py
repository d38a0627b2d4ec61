"""Secrets in what has a grammar of its own: source code, sentences, and what programs say to each other."""
