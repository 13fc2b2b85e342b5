"""The doors for people and their programs: the HTTP API of desk, provider and monitoring.

A thin shell: it asks who is there, reads the command, hands it to the desk and words the answer. It decides nothing
about calls or money.
"""
