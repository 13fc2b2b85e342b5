"""What is said about sound: session descriptions. The sound itself flows past us, from phone to carrier.

A relay that takes it through us will stand behind a door here: offer, answer, delete.
"""
