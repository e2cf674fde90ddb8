"""Lay out the folder that MLServer serves."""

import json
import os
import shutil
from pathlib import Path

folder = Path(os.environ["PLAIN_PREPARED"])
shutil.copy(os.environ["PLAIN_MODEL"], folder / "model.joblib")
settings = {
    "name": "plain",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./model.joblib"},
}
(folder / "model-settings.json").write_text(json.dumps(settings))
