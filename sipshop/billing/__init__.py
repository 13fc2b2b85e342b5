"""Money: amounts and prices, decks and the cost of a call, the parties, the CDR and the desk.

Pure, and blind to SIP. Amounts are integer micro-units of a currency, prices integer nano-units a minute, times integer
milliseconds; there is no float in this room. `rating.cost` prices a call and nothing else does.
"""
