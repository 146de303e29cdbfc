import sys
from pathlib import Path

# Random networks of the pruning tests.
sys.path.insert(0, str(Path(__file__).parent.parent / "pruning"))
