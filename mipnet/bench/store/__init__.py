"""Results on disk: one JSON file a cell, tables made of them."""
