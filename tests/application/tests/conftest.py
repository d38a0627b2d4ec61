import os
import sys
from pathlib import Path

os.environ.setdefault("REDIS_URL", "redis://nowhere.invalid:6379/0")
sys.path.insert(0, str(Path(__file__).parents[1]))
