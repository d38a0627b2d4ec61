"""How rows become what people see."""
