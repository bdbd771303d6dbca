from hypothesis import settings

# Examples are small; how long one takes says more about the machine than about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
