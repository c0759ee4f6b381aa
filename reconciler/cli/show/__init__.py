"""How commands show what they found: a module for each kind of thing."""
