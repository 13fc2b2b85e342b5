"""What a newcomer needs to make a first call: a carrier that takes the calls of the demo shop (IO).

It is a stranger to the switch, as a real carrier is: it knows the SIP engine and nothing else of the house.
"""
