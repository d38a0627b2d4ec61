"""How a framework's own events become reports, one room for each framework, which nothing else imports."""
