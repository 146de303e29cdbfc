"""A layer, a formulation and a pruning method from outside."""
