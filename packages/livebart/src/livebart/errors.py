"""What livebart warns of."""


class NotConverged(UserWarning):
    """The chains disagree: what they say is not the posterior yet."""
