"""A SIP engine that knows nothing of shops and money.

RFC 3261 with RFC 3581 (rport), RFC 4320 and RFC 6026 (transactions), RFC 7616 and RFC 8760 (digest).
Only `transport` and `endpoint` do input and output; everything else is told the time and the bytes.
"""
