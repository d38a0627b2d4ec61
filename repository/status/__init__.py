"""What people see, as it is read from the rows."""
