"""The switch of a CallShop: SIP, admission, rating, ledger, CDRs and the desk, in one program."""

__version__ = "0.1.0"
