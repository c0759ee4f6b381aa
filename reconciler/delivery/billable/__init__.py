"""Will Lago bill usage at all: its metric, the subscription, the plan's charges, currency and time zone."""
