"""The chaos run: calls over three levels, a server that is killed under them, and books that must be right afterwards.

docs/chaos.md says what it does; `make chaos` runs it, and `tests/wire/test_chaos.py` a short form of it.
"""
