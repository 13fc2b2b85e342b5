"""What holds for every test: hypothesis counts examples, not milliseconds, for a busy machine is no fault of ours."""

from hypothesis import settings

settings.register_profile("sipshop", deadline=None)
settings.load_profile("sipshop")
