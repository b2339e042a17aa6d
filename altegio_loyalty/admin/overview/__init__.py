"""What needs a person now, and what a period adds up to."""
