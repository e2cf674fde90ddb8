"""Generations: what requests are answered from, built aside, proved, published, adopted, rolled back."""
