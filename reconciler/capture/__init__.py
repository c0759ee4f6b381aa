"""From the spend table to planned events: what differs is found and planned."""
