"""How fast it is: our rates beside a plain baseline's and the machine's own limit, measured in one call."""
