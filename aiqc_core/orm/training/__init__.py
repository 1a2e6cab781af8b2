"""A Queue at work: plan its Jobs, claim them, train, record."""
