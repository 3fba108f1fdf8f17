"""Files people have, as blocks with their places, and results written back into them."""
