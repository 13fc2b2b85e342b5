"""What goes on narrow paper: a slip in blocks, its lines for any width, and the printers that print them.

It knows nothing of receipts: who prints one words it, as `console/pages/slips` does.
"""
