"""Call control: registrar, admission, routing and the call itself.

The name was given; what stands here is a back-to-back user agent (RFC 7092), never an RFC 3261 proxy: each call is
two dialogs of our own, and nothing of one side's Via, Contact, Route, Call-ID or tags is seen on the other.
"""
