"""What the tests of livesim share: the modules beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # livesim_models
