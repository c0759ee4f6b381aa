"""What the operator asks for: environment, file and flags, as one frozen value."""
