"""What models cost: amounts that add up exactly, prices, and a flow's budget."""
