"""What `scripts/bench` is made of: `parts` starts the parts, `trails` and `workers` measure."""
