"""What the reconciler reckons with: windows, durations, identity, terms. Pure; imports nothing of ours."""
