"""Call detail records on their way out: the layout that files of them have, and the delivery to targets.

`layout` says what a record is to others, `formats` writes it. `delivery` decides what a target gets and when,
`webhook`, `spool` and `command` are the kinds of targets, `couriers` runs them off the event loop.
"""
