"""What the tests of livebart share: the modules beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # reference_sampler, bart_data
