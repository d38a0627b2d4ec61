"""What people ask of flows and flows ask of people: sent, shown, and gathered in an inbox."""
