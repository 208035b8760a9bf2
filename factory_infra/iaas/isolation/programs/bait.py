"""The victim of an audit on this host: a job with a log, a result and a secret in its environment. Standard library only."""

import json
import os
import sys
import time
from pathlib import Path

PID_FILE = "bait.json"
SECONDS_MAX = 120.0


def main() -> None:
    """Say the word, leave it as a result, and wait to be ended."""
    word = sys.argv[1]
    sys.stdout.write(word + "\n")
    sys.stdout.flush()
    draft = Path(PID_FILE + ".new")
    draft.write_text(json.dumps({"pid": os.getpid(), "uid": os.getuid(), "word": word}), encoding="utf-8")
    draft.replace(PID_FILE)
    time.sleep(SECONDS_MAX)


if __name__ == "__main__":
    main()
