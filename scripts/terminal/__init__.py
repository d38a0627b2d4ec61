"""How flows, events and failures look in a terminal."""
